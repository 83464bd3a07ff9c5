"""From a study to its findings, free of Hydra and MLflow."""
