"""What is kept of a sweep, in MLflow: the only package that imports mlflow."""
