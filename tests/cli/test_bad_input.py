"""Whatever is wrong with a command line or a table is said in one line, before anything is created."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

Command = Callable[[str], Any]
BIN = Path(sys.executable).parent

# A command line, what its message names as the fault, and what it says would be right.
COMMANDS = [
    # names of groups, members and settings
    ("init=xaver", "unknown init 'xaver'", "did you mean 'xavier_normal'?"),
    ("init=NORMAL", "unknown init 'NORMAL'", "did you mean 'normal'?"),
    ("init=", "unknown init ''", "choose one of constant, given,"),
    ("init=null", "unknown init 'null'", "choose one of constant, given,"),
    ("init=[normal,uniform]", "unknown init '['normal', 'uniform']'", "normal"),
    ("init.name=uniform", "init.name=uniform", "choose with init=uniform"),
    ("init@here=normal", "init@here", "Did you mean to override init?"),
    ("+init=uniform", "+init=uniform", "without the +"),
    ("problem=xro", "unknown problem 'xro'", "did you mean 'xor'?"),
    ("descent=adm", "unknown descent 'adm'", "did you mean 'adam'?"),
    ("network=cnn", "unknown network 'cnn'", "choose one of mlp"),
    ("objective=empirical", "unknown objective 'empirical'", "did you mean 'empirical_risk'?"),
    ("executor=dusk", "unknown executor 'dusk'", "did you mean 'dask'?"),
    ("executor=dask executor.jobqueue=slrm", "unknown executor.jobqueue 'slrm'", "did you mean 'slurm'?"),
    ("executor=dask executor.workers=0", "executor.workers=0", "at least 1"),
    ("executor=dask executor.queue=long", "executor.queue=long", "executor.jobqueue=slurm"),
    ("executor=dask executor.jobqueue=pbs executor.minimum=2", "executor.maximum=None", "give both"),
    ("executor=ray executor.address=here", "executor.address=here", "ray://host:port"),
    ("executor=local executor.workers=2", "unknown setting 'executor.workers'", "did you mean 'executor'?"),
    ("-m seed=1,2 executor=dask hydra/launcher=joblib", "executor=dask", "leave out hydra/launcher"),
    ("-m executor=local,dask", "executor=local,dask", "the same for all conditions"),
    ("executor=null", "unknown executor 'null'", "choose one of dask, local, ray"),
    ("experiment=dept", "unknown experiment 'dept'", "did you mean 'depth'?"),
    ("experiment=nothing", "unknown experiment 'nothing'", "choose one of barriers, basins,"),
    ("experiment=null", "unknown experiment 'null'", "choose one of barriers, basins,"),
    ("+experiment=depth", "+experiment=depth", "without the +"),
    ("netwrk.depth=2", "unknown setting 'netwrk.depth'", "did you mean 'network.depth'?"),
    ("network.dpth=2", "unknown setting 'network.dpth'", "did you mean 'network.depth'?"),
    ("depth=2", "unknown setting 'depth'", "did you mean 'network.depth'?"),
    ("INIT=normal", "unknown setting 'INIT'", "did you mean 'init'?"),
    ("restart=10", "unknown setting 'restart'", "did you mean 'restarts'?"),
    ("init.gain=2", "unknown setting 'init.gain'", "choose one of init.bias, init.std"),
    ("problem.points=5", "unknown setting 'problem.points'", "problem.high, problem.holdout, problem.low"),
    ("descent.lr=.1", "unknown setting 'descent.lr'", "descent.learning_rate"),
    ("descent.batch_size=4", "unknown setting 'descent.batch_size'", "descent.schedule, descent.steps"),
    ("experiment=depth descent.learningrate=2", "unknown setting 'descent.learningrate'", "'descent.learning_rate'"),
    ("tracking.url=x", "unknown setting 'tracking.url'", "did you mean 'tracking.uri'?"),
    ("+foo=1", "unknown setting 'foo'", "choose one of certify, descent, device,"),
    ("++init.scale=3", "unknown setting 'init.scale'", "init.std"),
    ("~init", "~init", "leave it out for the default"),
    ("~network.depth", "~network.depth", "leave it out for the default"),
    ("~tracking", "~tracking", "leave it out for the default"),
    ("tracking=3", "tracking=3", "tracking.key=value"),
    ("tracking=null", "tracking=null", "tracking.key=value"),
    # form
    ("foo", "'foo' is not", "of the form key=value"),
    ("restarts = 5", "'restarts' is not", "of the form key=value"),
    ("init: normal", "'init:' is not", "of the form key=value"),
    ("=3", "'=3' is not", "of the form key=value"),
    ('init="\'normal"', "init: cannot read 'normal", "put special characters in quotes"),
    ("network.width=[1,2", "network.width: cannot read [1,2", "put special characters in quotes"),
    ("problem=table 'problem.path=a(1).csv'", "problem.path: cannot read a(1).csv", "put special characters in quotes"),
    ("network.depth='${nothing}'", "network.depth", "Interpolation key 'nothing' not found"),
    # flags
    ("--multrun", "--multrun", "see basinet --help"),
    ("--restarts=5", "--restarts=5", "settings are written key=value"),
    ("--restarts 5", "--restarts", "settings are written key=value"),
    ("--cfg", "--cfg", "expected one argument"),
    ("--cfg=jobs", "--cfg/-c: invalid choice: 'jobs'", "job"),
    ("--config-name=mine", "--config-name", "--config-dir"),
    ("--config-path=mine", "--config-path", "--config-dir"),
    ("--experimental-rerun=x", "--experimental-rerun", "--config-dir"),
    ("--config-dir=nowhere", "--config-dir nowhere", "no such folder"),
    ("--config-dir", "--config-dir", "expected one argument"),
    ("-m --cfg job", "-m and --cfg", "do not go together"),
    ("-m --run", "--run and -m", "do not go together"),
    ("--resolve", "--resolve", "belongs to --cfg"),
    ("--package=init", "--package", "belongs to --cfg"),
    ("--cfg job init=xaver", "unknown init 'xaver'", "did you mean 'xavier_normal'?"),
    ("--cfg job network.dpth=1", "unknown setting 'network.dpth'", "did you mean 'network.depth'?"),
    ("--cfg job network.depth=1,2", "network.depth=1,2", "give one value"),
    ("--cfg=job --resolve 'seed=${nope}'", "seed: Interpolation key 'nope' not found", ""),
    ("--cfg=hydra --resolve", "--resolve", "only with --cfg job"),
    ("--help foo", "'foo' is not", "of the form key=value"),
    ("--shell-completion", "--shell-completion", "install=bash"),
    ("--shell-completion install=cmd", "--shell-completion", "install=bash"),
    ("--shell-completion query=bash", "--shell-completion", "COMP_LINE"),
    # how it is computed
    ("restarts=0", "restarts=0", "must be at least 1"),
    ("restarts=-1", "restarts=-1", "must be at least 1"),
    ("restarts=1.5", "restarts=1.5", "must be a whole number"),
    ("restarts=many", "restarts=many", "must be a whole number"),
    ("restarts=", "restarts=", "must be a whole number"),
    ("restarts=null", "restarts=null", "must be a whole number"),
    ("restarts=true", "restarts=True", "must be a whole number"),
    ("restarts=[1,2]", "restarts=[1, 2]", "must be a whole number"),
    ("restarts=1e400", "restarts=inf", "must be a finite number"),
    ("restarts=10000000000000", "restarts=10,000,000,000,000 of 9 parameters", "this machine has"),
    ("restarts=auto restarts_max=10000000000000", "restarts_max=10,000,000,000,000 of 9", "this machine has"),
    ("restarts_max=0", "restarts_max=0", "must be at least 1"),
    ("seed=-1", "seed=-1", "between 0 and 2^63 - 1"),
    ("seed=9223372036854775808", "seed=9223372036854775808", "between 0 and 2^63 - 1"),
    ("seed=one", "seed=one", "must be a whole number"),
    ("dtype=float16", "unknown dtype 'float16'", "float"),
    ("device=gpu", "unknown device 'gpu'", "did you mean 'cpu'?"),
    ("engine=jax", "unknown engine 'jax'", "choose one of auto,"),
    ("threads=0", "threads=0", "must be at least 1"),
    ("threads=1.5", "threads=1.5", "must be a whole number"),
    # the problem
    ("problem.holdout=1", "problem.holdout=1", "at least 0 and below 1"),
    ("problem.holdout=-.1", "problem.holdout=-0.1", "at least 0 and below 1"),
    ("problem.holdout=.1", "problem.holdout=0.1: of 4 samples that is 0", "1 to 3 are needed"),
    ("problem.seed=-1", "problem.seed=-1", "between 0 and 2^63 - 1"),
    ("problem.low=x", "problem.low=x", "must be a number"),
    ("problem.low=inf", "problem.low=inf", "must be a finite number"),
    ("problem=sine problem.points=0", "problem.points=0", "must be at least 2"),
    ("problem=sine problem.noise=-1", "problem.noise=-1", "must be 0 or more"),
    ("problem=sine problem.periods=nan", "problem.periods=nan", "must be a finite number"),
    ("problem=parity problem.bits=0", "problem.bits=0", "must be between 1 and 16"),
    ("problem=sine problem.points=1e15", "problem.points=1,000,000,000,000,000: takes", "this machine has"),
    ("problem=sine problem.points=1e10", "problem.points=10,000,000,000: takes", "this machine has"),
    ("problem=teacher problem.features=1e12", "takes", "this machine has"),
    ("problem=neuron problem.dimension=1e6", "problem.dimension=1,000,000: takes", "this machine has"),
    ("problem=digits problem.points=1798", "problem.points=1798", "must be between 1 and 1797"),
    ("problem=teacher problem.activation=swish", "unknown problem.activation 'swish'", "choose one of erf, gelu"),
    ("problem=neuron problem.dimension=0", "problem.dimension=0", "must be at least 1"),
    ("problem=neuron problem.block_inputs=[1]", "problem.block_inputs has 1", "one target for each input is needed"),
    ("problem=chain problem.inputs=1", "problem.inputs=1", "must be a list"),
    ("problem=chain problem.inputs=[a]", "problem.inputs[0]=a", "must be a number"),
    (f"problem=chain problem.inputs=[{'1,' * 2000}1]", "problem.inputs: ", "a setting has at most 3,500"),
    # the network
    ("network.depth=0", "network.depth=0", "must be at least 1 (the number of weight layers)"),
    ("network.depth=-1", "network.depth=-1", "must be at least 1 (the number of weight layers)"),
    ("network.depth=1.5", "network.depth=1.5", "must be a whole number"),
    ("network.depth=two", "network.depth=two", "must be a whole number"),
    ("network.width=0", "network.width=0", "at least 1 unit"),
    ("network.width=wide", "network.width=wide", "must be a whole number"),
    ("network.width=1e6 network.depth=5", "restarts=1,000 of 3,000,007,000,001 parameters", "this machine has"),
    ("network.depth=3 network.width=[1,2,3]", "network.width has 3 entries", "depth 3 needs 2"),
    ("network.depth=3 network.width=[1]", "network.width has 1 entry", "depth 3 needs 2"),
    ("network.depth=3 network.width=[2,x]", "network.width[1]=x", "must be a whole number"),
    ("network.activation=swish", "unknown network.activation 'swish'", "choose one of erf, gelu"),
    ("network.output=Tanh", "unknown network.output 'Tanh'", "did you mean 'tanh'?"),
    ("network.bias=1", "network.bias=1", "must be true or false"),
    # the init
    ("init.std=0", "init.std=0", "must be positive"),
    ("init.std=-1", "init.std=-1", "must be positive"),
    ("init.std=nan", "init.std=nan", "must be a finite number"),
    ("init.std=big", "init.std=big", "must be a number"),
    ("init.bias=maybe", "unknown init.bias 'maybe'", "choose one of same, zero"),
    ("init.bias=null", "unknown init.bias 'null'", "choose one of same, zero"),
    ("init=uniform init.bound=0", "init.bound=0", "must be positive"),
    ("init=orthogonal init.bias=same", "unknown init.bias 'same'", "choose one of zero"),
    ("init=constant init.value=inf", "init.value=inf", "must be a finite number"),
    ("init=given", "init.path is missing", "give it as init.path=…"),
    ("init=given init.path=nowhere.npz", "init.path=nowhere.npz", "no such file"),
    ("init=given init.path=starts.txt", "init.path=starts.txt", "must end in .npz or .parquet"),
    # the descent
    ("descent.learning_rate=0", "descent.learning_rate=0", "must be positive"),
    ("descent.learning_rate=fast", "descent.learning_rate=fast", "must be a number"),
    ("descent.steps=-1", "descent.steps=-1", "must be 0 (certify the starts) or more"),
    ("descent.steps=1.5", "descent.steps=1.5", "must be a whole number"),
    ("descent.steps=1e30", "descent.steps=10000000", "must be below 2^53"),
    ("descent.records=1e9", "descent.records=1000000000", "must be at most 1,000,000"),
    ("descent.tolerance=-1", "descent.tolerance=-1", "must be 0 (never stop early) or more"),
    ("descent.records=0", "descent.records=0", "must be at least 1"),
    ("descent.schedule=linear", "unknown descent.schedule 'linear'", "choose one of constant, cosine, step"),
    ("landscape=saddle", "unknown landscape 'saddle'", "did you mean 'saddles'?"),
    ("landscape=saddles landscape.searches=0", "landscape.searches=0", "at least 1, or auto"),
    ("landscape=saddles landscape.searches=few", "landscape.searches=few", "must be a whole number or auto"),
    ("landscape=saddles landscape.searches=1e15", "landscape.searches=1,000,000,000,000,000", "at most 10,000,000"),
    ("landscape=saddles landscape.indices=2", "unknown landscape.indices '2'", "choose one of 1, all"),
    ("landscape=saddles landscape.steps=0", "landscape.steps=0", "at least 1"),
    ("landscape=saddles polish.dense_max=5", "landscape=saddles", "more than polish.dense_max=5"),
    ("descent=sgd descent.batch_size=0", "descent.batch_size=0", "must be at least 1"),
    ("descent=adam descent.beta1=1", "descent.beta1=1", "at least 0 and below 1"),
    ("descent=adam descent.epsilon=0", "descent.epsilon=0", "must be positive"),
    ("descent=adam descent.epsilon=inf", "descent.epsilon=inf", "must be a finite number"),
    ("descent=lbfgs descent.memory=0", "descent.memory=0", "must be at least 1"),
    ("descent=lbfgs descent.memory=1.5", "descent.memory=1.5", "must be a whole number"),
    ("descent=lbfgs descent.memory=1e9", "descent.memory=1,000,000,000", "must be at most 1,000"),
    ("descent=lbfgs descent.learning_rate=.1", "unknown setting 'descent.learning_rate'", "descent.memory"),
    ("descent=momentum descent.momentum=-.5", "descent.momentum=-0.5", "at least 0 and below 1"),
    ("descent=gradient_flow descent.time=0", "descent.time=0", "must be positive"),
    ("descent=gradient_flow descent.time=1e300", "descent.time=1e+300", "must be at most 1e+100"),
    ("descent=gradient_flow descent.rtol=1", "descent.rtol=1", "must be positive and below 1"),
    ("descent=gradient_flow descent.atol=0", "descent.atol=0", "must be positive"),
    ("descent=gradient_flow descent.method=euler", "unknown descent.method 'euler'", "chebyshev, rosenbrock"),
    ("descent=gradient_flow dtype=float32", "dtype=float32", "use dtype=float64"),
    ("descent=gradient_flow descent.learning_rate=1", "unknown setting 'descent.learning_rate'", "descent.rtol"),
    *(
        (
            f"descent=gradient_flow descent.method={method} polish.dense_max=5",
            f"descent.method={method}",
            "use descent.method=chebyshev",
        )
        for method in ("rosenbrock", "switching")
    ),
    # polishing
    ("polish=newtn", "unknown polish 'newtn'", "did you mean 'newton'?"),
    ("polish.steps=-1", "polish.steps=-1", "must be 0 or more"),
    ("polish.radius=0", "polish.radius=0", "must be positive"),
    # the objective
    ("objective.loss=hinge", "unknown objective.loss 'hinge'", "choose one of cross_entropy, squared"),
    ("objective.loss=cross_entropy", "objective.loss=cross_entropy", "needs at least 2 outputs"),
    ("objective.l2_weights=-1", "objective.l2_weights=-1", "must be 0 or more"),
    ("objective.l2_biases=x", "objective.l2_biases=x", "must be a number"),
    *(
        (f"problem=gaussian_teacher objective=population network.activation=relu {more}", fault, remedy)
        for more, fault, remedy in (
            ("network.activation=logistic", "network.activation 'logistic'", "choose one of erf, relu"),
            ("network.activation=rleu", "unknown network.activation 'rleu'", "did you mean 'relu'?"),
            ("problem.activation=erf", "problem.activation=erf", "network.activation=relu"),
            ("problem.activation=swish", "unknown problem.activation 'swish'", "choose one of erf, gelu"),
            ("network.depth=3", "network.depth=3", "network.depth=2"),
            ("network.depth=1", "network.depth=1", "network.depth=2"),
            ("network.bias=true", "network.bias=true", "network.bias=false"),
            ("network.output=relu", "network.output=relu", "network.output=identity"),
            ("problem.holdout=.2", "problem.holdout", "problem.holdout=0"),
            ("problem.units=7", "problem.units=7", "problem.dimension=6"),
            ("problem.dimension=0", "problem.dimension=0", "must be at least 1"),
            ("problem.samples=0", "problem.samples=0", "must be at least 1"),
            ("problem.drawn=5", "unknown setting 'problem.drawn'", "problem.samples"),
            ("objective.output_weights=one", "unknown objective.output_weights 'one'", "did you mean 'ones'?"),
            ("objective.l2_weights=-1", "objective.l2_weights=-1", "must be 0 or more"),
            ("objective.loss=squared", "unknown setting 'objective.loss'", "objective.l2_weights"),
            ("engine=native", "engine=native", "no kernel for Population"),
        )
    ),
    ("objective=population", "objective=population", "problem=gaussian_teacher"),
    # sweeps
    ("network.depth=1,2", "network.depth=1,2", "several values need -m"),
    ("'init=glob(*)'", "several values need -m", "init=constant,"),
    ("-m network.depth=1,2,-1", "network.depth=-1", "must be at least 1"),
    ("-m init=normal,uniform,xaver", "unknown init 'xaver'", "did you mean 'xavier_normal'?"),
    ("-m init=normal,given", "init.path is missing", "give it as init.path=…"),
    ("-m network.depth=4,3 network.width=[2,2,2],[1,1]", "network.width has 2 entries", "depth 4 needs 3"),
    ("-m descent.learning_rate=.1,1,0", "descent.learning_rate=0", "must be positive"),
    ("-m network.depth='interval(1,3)'", "network.depth=interval(1,3)", "list some, or use range(start,stop,step)"),
    ("-m 'init=glob(z*)'", "init=glob(z*): matches nothing", "choose from constant, given"),
    ("-m 'seed=range(0)'", "no conditions", "sweep"),
    ("-m init=normal,normal", "init=normal,normal", "conditions 1 and 2 of this sweep are the same"),
    ("-m threads=1,2", "threads=1,2", "conditions 1 and 2 of this sweep are the same"),
    ("-m descent.learning_rate=1,1.0", "descent.learning_rate=1,1.0", "conditions 1 and 2 of this sweep are the same"),
    ("-m restarts=10,20", "restarts=10,20", "the same for all conditions"),
    ("-m tracking.curves_max=1,2", "tracking.curves_max=1,2", "the same for all conditions"),
    ("-m hydra.sweep.dir=a,b", "hydra.sweep.dir=a,b", "the same for all conditions"),
    ("-m experiment=depth,xor", "experiment", "one study at a time"),
    ("experiment=depth,xor", "experiment", "one study at a time"),
    ("-m 'experiment=glob(*)'", "experiment", "one study at a time"),
    ("experiment=depth network.depth=3,0", "network.depth=0", "must be at least 1"),
    # tracking
    ("tracking.uri=sqlite:///nowhere/mlflow.db", "tracking.uri=sqlite:///nowhere/mlflow.db", "does not exist"),
    ("tracking.uri=sqlite:///.", "tracking.uri=sqlite:///.", "is a folder, where a file should be"),
    ("tracking.uri=", "tracking.uri=", "must start with sqlite:///"),
    ("tracking.uri=mlruns", "tracking.uri=mlruns", "must start with sqlite:///"),
    ("tracking.uri=foo://bar", "tracking.uri=foo://bar", "must start with sqlite:///"),
    ("tracking.uri=http://", "tracking.uri=http://", "as http://localhost:5000 does"),
    ("tracking.uri=\"'http://[::1'\"", "tracking.uri=http://[::1", "as http://localhost:5000 does"),
    ("tracking.uri=http://localhost:port", "tracking.uri=http://localhost:port", "as http://localhost:5000 does"),
    ("tracking.uri=sqlite:////dev/null", "/dev/null is a device", "a file should be"),
    ("tracking.uri=http://127.0.0.1:9", "tracking.uri=http://127.0.0.1:9", "no server answers"),
    ("tracking.uri='sqlite:///a?b.db'", "tracking.uri=sqlite:///a?b.db", "must be without '?'"),
    ("tracking.experiment=", "tracking.experiment=''", "must be 1 to 250 printable characters"),
    ("tracking.experiment=\"' a '\"", "tracking.experiment=' a '", "no blanks around"),
    (f"tracking.experiment={'a' * 300}", "tracking.experiment='aaa", "must be 1 to 250 printable characters"),
    ("tracking.experiment=[a]", "tracking.experiment=['a']", "must be a text"),
    ("tracking.figures=all", "unknown tracking.figures 'all'", "choose one of condition, none, sweep"),
    ("tracking.curves_max=-1", "tracking.curves_max=-1", "must be 0 or more"),
    # Hydra's own
    ("hydra.launcher=unknown", "hydra.launcher=unknown", "choose with hydra/launcher=…"),
    ("hydra/launcher=xyz", "unknown hydra/launcher 'xyz'", "choose one of basic"),
    ("hydra/sweeper=xyz", "unknown hydra/sweeper 'xyz'", "choose one of basic"),
    ("hydra.mode=NONSENSE", "hydra.mode=NONSENSE", "expected one of [RUN, MULTIRUN]"),
    ("hydra.foo=1", "unknown setting 'hydra.foo'", "choose one of hydra."),
    ("hydra.job.chdir=true", "hydra.job.chdir=true", "paths of tables"),
    ("hydra.run.dir=/proc/x", "hydra.run.dir=/proc/x", "cannot be made, /proc"),
    ("hydra.run.dir=/dev/null/x", "hydra.run.dir=/dev/null/x", "/dev/null is not a folder"),
    (f"hydra.run.dir={'a' * 300}", "hydra.run.dir=", "at most 255 bytes"),
    ("hydra.output_subdir=/proc/x", "cannot be made", "/proc"),
    ("-m seed=1,2 hydra.sweep.dir=/proc/x", "hydra.sweep.dir=/proc/x", "cannot be made, /proc"),
    ("-m seed=1,2 'hydra.sweep.subdir=${nope}'", "hydra.sweep.subdir: Interpolation key 'nope'", "not found"),
    (f"-m seed=1,2 'hydra.sweep.subdir={'a' * 260}'", "hydra.sweep.dir=", "at most 255 bytes"),
    ("-m seed=1,2 hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size=0", "at least 1, or null"),
    ("-m seed=1,2 +hydra.sweeper.foo=1", "hydra.sweeper", "foo"),
    ("-m seed=1,2 +hydra.launcher.foo=1", "hydra.launcher", "foo"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs=0", "must be 1 or more"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.batch_size=0", "hydra.launcher.batch_size=0", "at least 1"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.batch_size=few", "hydra.launcher.batch_size=few", "auto"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.prefer=foo", "hydra.launcher.prefer=foo", "processes"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.require=foo", "hydra.launcher.require=foo", "null"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.timeout=.001", "hydra.launcher.timeout=0.001", "null"),
    (
        "-m seed=1,2 hydra/launcher=joblib hydra.launcher.pre_dispatch=foo",
        "hydra.launcher.pre_dispatch=foo",
        "2*n_jobs",
    ),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.max_nbytes=x", "hydra.launcher", "x"),
    ("-m seed=1,2 hydra/launcher=joblib hydra.launcher.temp_folder=/nowhere", "temp_folder=/nowhere", "no such folder"),
    ("-m seed=1,2 hydra/launcher=submitit_slurm", "hydra/launcher=submitit_slurm: there is no srun", "joblib"),
    ("-m seed=1,2 hydra/launcher=submitit_local hydra.launcher.nodes=2", "hydra.launcher.nodes=2", "must be 1"),
    ("-m seed=1,2 hydra/launcher=submitit_local hydra.launcher.timeout_min=0", "timeout_min=0", "at least 1"),
    ("hydra.job.name=a/b", "hydra.job.name=a/b", "must be without '/'"),
    ("hydra.job.name=../../x", "hydra.job.name=../../x", "must be without '/'"),
    ("hydra.verbose=[1]", "hydra.verbose=[1]", "names of loggers"),
    ("'hydra.verbose={a: 1}'", "hydra.verbose={'a': 1}", "names of loggers"),
    ("--help 'hydra.help.header=${nope}'", "hydra.help: Interpolation key 'nope' not found", ""),
    ("--hydra-help 'hydra.hydra_help.template=${nope}'", "hydra.hydra_help: Interpolation key 'nope' not found", ""),
    ("hydra.job_logging.root.level=LOUD", "hydra.job_logging", "LOUD"),
    ("+hydra.callbacks.mine._target_=nowhere.Mine", "hydra.callbacks", "nowhere"),
    ("hydra=3", "hydra=3", "hydra.key=value"),
    # what cannot fit, or cannot end
    ("threads=100000", "threads=100000", "must be at most 1,024"),
    (
        "restarts=1 network.width=20000 network.depth=3",
        "polish.lanczos_steps=60: to examine 400,100,001 parameters",
        "machine has",
    ),
    ("network.depth=1001", "network.depth=1,001", "must be at most 1,000"),
    ("network.depth=1000000000000", "network.depth=1,000,000,000,000", "must be at most 1,000"),
    (
        "restarts=5 network.width=20000 network.depth=2 polish.dense_max=1e9",
        "polish.dense_max=1,000,000,000",
        "machine has",
    ),
    ("restarts=2 descent.steps=1e15", "descent.steps=1,000,000,000,000,000", "years here"),
    ("-m 'seed=range(0,1000000000)'", "seed=range(0,1000000000): 1,000,000,000 conditions", "at most 10,000"),
    ("-m 'seed=range(0,200)' 'problem.seed=range(0,200)'", "40,000 conditions", "at most 10,000"),
    ("-m 'seed=range(0,inf)'", "seed=range(0,inf)", "has no end"),
    (
        "-m 'init.std=range(1,2,0.25)' 'seed=range(0,1e9)'",
        "seed=range(0,1e9): 1,000,000,000 conditions",
        "at most 10,000",
    ),
    ("-m 'init.std=range(1,2,0)'", "init.std=range(1,2,0)", "has no end"),
    ("-m 'seed=shuffle(range(0,1000000000))'", "1,000,000,000 conditions", "at most 10,000"),
    ("-m 'init=range(0,inf)'", "init=range(0,inf)", "has no end"),
    ("hydra/foo=3", "unknown hydra/foo '3'", "choose"),
]

TABLE = "problem=table problem.path=data.csv "

# The name and the content of a file, what is typed, and what the message names.
TABLES = [
    ("data.csv", "x,y\n1,2\n", "problem=table", ["problem.path is missing", "problem.path=…"]),
    ("data.csv", "x,y\n1,2\n", TABLE, ["problem.targets is missing", "problem.targets=…"]),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets={a:y}", ["problem.targets={'a': 'y'}", "must be a list"]),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets=z", ["'z'", "choose one of x, y"]),
    ("data.csv", "x:y\n1:2\n", TABLE + "problem.targets=y", ["no column 'y', only 'x:y'", "problem.separator"]),
    (
        "data.csv",
        "1,2\n3,4\n",
        TABLE + "problem.targets=y",
        ["no column 'y'", "the first line has to name the columns"],
    ),
    (
        "data.csv",
        "x,y\n1,2\n",
        TABLE + "problem.targets=y problem.separator=dot",
        ["problem.separator 'dot'", "semicolon"],
    ),
    ("data.csv", "x;y\n1.5;2,5\n", TABLE + "problem.targets=y", ["'y'", "row 1", "'2,5'", "problem.decimal=comma"]),
    ("data.csv", f"x,y\n1,2\n{'9' * 400},3\n", TABLE + "problem.targets=y", ["'x'", "row 2", "(400 characters)"]),
    ("data.csv", "x,y\n1,2\n-1e300,3\n", TABLE + "problem.targets=y", ["'x'", "row 2", "-1e+300 is too large"]),
    (
        "data.csv",
        "x,y\n1e40,2\n1,3\n",
        TABLE + "problem.targets=y problem.standardize=false dtype=float32",
        ["1e+40", "float64"],
    ),
    (
        "data.csv",
        "x,y\n1,2\n3,2\n",
        TABLE + "problem.targets=y problem.standardize_targets=true",
        ["'y'", "constant", "problem.standardize_targets=false"],
    ),
    ("data.csv", "x,y\n1,a\n3,\n2,b\n", TABLE + "problem.targets=y", ["'y'", "row 2", "no class"]),
    ("data.csv", "x,y\n1,a\n3,a\n", TABLE + "problem.targets=y problem.classes=true", ["'y'", "one class only, 'a'"]),
    (
        "data.csv",
        "x,p,q\n1,0,1\n3,1,1\n",
        TABLE + "problem.targets=[p,q] problem.classes=true",
        ["problem.classes=true", "one 1 in each row"],
    ),
    (
        "data.csv",
        "x,y\n1,2\n",
        TABLE + "problem.targets=y problem.ignore=z",
        ["problem.ignore", "'z'", "choose one of x, y"],
    ),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets=y problem.ignore=x", ["no other column is left"]),
    (
        "data.csv",
        "x,y\n1,2\n",
        TABLE + "problem.targets=y problem.ignore=y",
        ["column 'y'", "both in problem.targets and in problem.ignore"],
    ),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets=[]", ["problem.targets=[]", "at least one column"]),
    ("data.txt", "x,y\n1,2\n", "problem=table problem.path=data.txt problem.targets=[y]", ["data.txt", ".csv or"]),
    ("other.csv", "x,y\n1,2\n", TABLE + "problem.targets=[y]", ["problem.path=data.csv", "no such file"]),
    ("data.csv", "", TABLE + "problem.targets=[y]", ["data.csv", "cannot be read"]),
    ("data.csv", "x,y\n", TABLE + "problem.targets=[y]", ["data.csv", "no rows"]),
    ("data.csv", "x,y\n1,2\nred,4\n", TABLE + "problem.targets=[y]", ["data.csv", "'x'", "row 2", "'red'"]),
    ("data.csv", "x,y\n1,2\n3,\n", TABLE + "problem.targets=[y]", ["data.csv", "'y'", "row 2", "nan"]),
    ("data.csv", "x,y\n1,inf\n3,4\n", TABLE + "problem.targets=[y]", ["data.csv", "'y'", "row 1", "inf"]),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets=[z]", ["'z'", "choose one of x, y"]),
    ("data.csv", "left,y\n1,2\n", TABLE + "problem.targets=[y] problem.inputs=[lift]", ["'lift'", "'left'"]),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets=[y] problem.inputs=[y]", ["column 'y'", "both in"]),
    ("data.csv", "x,x,y\n1,2,3\n", TABLE + "problem.targets=[y]", ["data.csv", "column 'x'", "twice"]),
    ("data.csv", "y\n1\n", TABLE + "problem.targets=[y]", ["data.csv", "at least one input is needed"]),
    ("data.csv", "x,y\n1,2\n1,2,3\n", TABLE + "problem.targets=[y]", ["data.csv", "cannot be read"]),
    ("data.csv", "x,y\n1,2\n1,3\n", TABLE + "problem.targets=[y] problem.standardize=true", ["'x'", "constant"]),
    ("data.csv", "x,y\n1,2\n", TABLE + "problem.targets=[y] problem.standardize=1", ["problem.standardize=1", "true"]),
    ("data.csv", "x,y\n1,2\n3,4\n", TABLE + "problem.targets=[y] problem.holdout=.1", ["problem.holdout", "1 to 1"]),
    (
        "data.csv",
        "x,y\n1,2\n3,4\n",
        "-m problem=xor,table problem.path=data.csv problem.targets=[y]",
        ["unknown setting 'problem.", "problem.low"],
    ),
    (
        "data.parquet",
        "PAR1 this is not one",
        "problem=table problem.path=data.parquet problem.targets=[y]",
        ["data.parquet", "cannot be read"],
    ),
    ("mlflow.db", "hello", "restarts=5", ["mlflow.db", "not an SQLite database"]),
    ("mlartifacts", "hello", "restarts=5", ["mlartifacts", "must be a folder"]),
    ("outputs", "hello", "restarts=5", ["hydra.run.dir", "not a folder that can be written to"]),
]

XOR_PARAMETERS = 9  # 2-2-1 with biases

# Starts for XOR and what the message names.
STARTS = [
    (np.zeros((3, XOR_PARAMETERS)), "restarts=4", ["starts.npz", "has 3 starts", "restarts=4"]),
    (np.zeros((3, 5)), "restarts=3", ["starts.npz", "5 parameters", f"has {XOR_PARAMETERS}"]),
    (np.full((3, XOR_PARAMETERS), np.nan), "restarts=3", ["starts.npz", "row 1", "finite number"]),
    (np.zeros((3, XOR_PARAMETERS, 1)), "restarts=3", ["starts.npz", "(3, 9, 1)", "[restart, parameter]"]),
    (np.array([["a", "b"]]), "restarts=1", ["starts.npz", "cannot be read"]),
    (np.array([{"pickled": True}], dtype=object), "restarts=1", ["starts.npz", "cannot be read"]),
]

# A user's study in `mine/experiment/own.yaml`, and what the message names.
HEADER = "# @package _global_\n# own\n"
STUDIES = [
    (HEADER + "netwrk:\n  depth: 3\n", ["unknown setting 'netwrk'", "did you mean 'network'?"]),
    (HEADER + "init:\n  gain: 3\n", ["unknown setting 'init.gain'", "init.bias, init.std"]),
    (HEADER + "restarts: 0\n", ["restarts=0", "must be at least 1"]),
    (HEADER + "network:\n  depth: 3\n  width: [2, 2, 2]\n", ["network.width has 3 entries", "depth 3 needs 2"]),
    (HEADER + "defaults:\n  - override /init: xaver\n", ["init/xaver", "xavier_normal"]),
    (
        HEADER + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      init: xaver,normal\n",
        ["unknown init 'xaver'"],
    ),
    (HEADER + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      init.sdt: 1,2\n", ["'init.sdt'", "'init.std'"]),
    (HEADER + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      restarts: 1,2\n", ["restarts", "the same for"]),
    (HEADER + "hydra:\n  sweeper:\n    params:\n      init: normal,uniform\n", ["sweeper.params", "give -m, or write"]),
    (
        HEADER + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      experiment: xor\n",
        ["cannot sweep over studies"],
    ),
    (
        HEADER + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: range(0,1000000000)\n",
        ["1,000,000,000 conditions", "at most 10,000"],
    ),
    (
        HEADER + "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)),
        ["own.yaml", "aliases", "100,000 entries"],
    ),
    (HEADER + "network: &network\n  width: *network\n", ["own.yaml", "aliases"]),
    (HEADER + "deep: " + "[" * 5000 + "]" * 5000, ["own.yaml", "nested too deeply"]),
    (HEADER + "restarts: [\n", ["while parsing a flow node"]),
    ("# own\nrestarts: 5\n", ["# @package _global_"]),
]


@pytest.fixture
def refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_slurm: None
) -> Callable[[str], str]:
    """The one line that a command is refused with; that nothing is created is checked here."""

    def nothing_may_run(*arguments: object) -> None:
        pytest.fail("a bad command line was run")

    def call(line: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        answer = command(line)
        assert answer.code == 1
        assert answer.out == ""
        assert answer.err.startswith("basinet: ")
        assert len(answer.err.splitlines()) == 1
        assert sorted(tmp_path.rglob("*")) == before
        message: str = answer.err
        return message

    monkeypatch.setattr("basinet.workflows.sweep.run_condition", nothing_may_run)
    return call


@pytest.mark.parametrize(("line", "fault", "remedy"), COMMANDS, ids=[line[:60] for line, _, _ in COMMANDS])
def test_a_bad_command_line_is_refused_in_one_line_and_creates_nothing(
    line: str, fault: str, remedy: str, refused: Callable[[str], str]
) -> None:
    message = refused(line)
    assert fault in message
    assert remedy in message


@pytest.mark.parametrize(("name", "content", "line", "fragments"), TABLES)
def test_a_bad_file_is_refused_in_one_line_and_creates_nothing(
    name: str, content: str, line: str, fragments: list[str], refused: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    message = refused(line)
    for fragment in fragments:
        assert fragment in message


# What stands where the store, or something of it, should be: how it is made, at which path, and what it is called.
def _linked(path: Path) -> None:
    path.symlink_to("nowhere")


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


STANDING = [
    *((name, os.mkfifo, "a pipe") for name in ("mlflow.db", "mlflow.db.lock", "mlflow.db-wal", "mlartifacts")),
    *((name, _linked, "a link to nothing") for name in ("mlflow.db", "mlartifacts", ".basinet")),
    *((name, Path.touch, "a file") for name in ("mlartifacts", ".basinet")),
    *((name, _folder, "a folder") for name in ("mlflow.db", "mlflow.db.lock", "mlflow.db-wal")),
]


@pytest.mark.parametrize(("name", "make", "called"), STANDING)
def test_what_stands_where_the_store_should_be_is_looked_at_and_not_waited_for(
    name: str, make: Callable[[Path], None], called: str, refused: Callable[[str], str], tmp_path: Path
) -> None:
    make(tmp_path / name)
    message = refused("restarts=5")
    assert name in message
    assert called in message


def test_a_file_in_place_of_the_blocks_of_unfinished_work_is_refused(
    refused: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / ".basinet").mkdir()
    (tmp_path / ".basinet" / "blocks").touch()
    assert f"{tmp_path / '.basinet' / 'blocks'} is a file" in refused("restarts=5")


@pytest.mark.parametrize(
    "program", ["basinet restarts=5", "basinet restarts=5 dry_run=true", "basinet-doctor", "basinet-list results"]
)
def test_a_damaged_database_is_refused_with_what_can_be_done(
    program: str, shell: Command, furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    furnish(tmp_path)
    database = tmp_path / "mlflow.db"
    content = bytearray(database.read_bytes())
    content[len(content) // 4 : 3 * len(content) // 4] = b"\xa5" * (3 * len(content) // 4 - len(content) // 4)
    database.write_bytes(content)
    answer = shell(program)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    assert "the database is damaged" in answer.err
    assert "move" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_working_directory_whose_name_is_not_utf_8_is_refused(
    refused: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = os.fsencode(tmp_path) + b"/x\xffy"
    os.mkdir(folder)
    monkeypatch.chdir(folder)
    message = refused("restarts=5")
    assert "x\\xffy" in message
    assert "not UTF-8" in message


def test_a_working_directory_whose_name_hydra_would_read_as_a_reference_is_refused(
    refused: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a${b}").mkdir()
    monkeypatch.chdir(tmp_path / "a${b}")
    message = refused("restarts=5")
    assert f"hydra.run.dir={tmp_path}/a${{b}}/outputs/" in message
    assert "must be without '${'" in message


@pytest.mark.parametrize(
    ("frame", "fragments"),
    [
        (pd.DataFrame({"x": [1.0], "y": ["red"]}), ["'y'", "row 1", "'red'"]),
        (pd.DataFrame({"x": [1.0, np.inf], "y": [1.0, 2.0]}), ["'x'", "row 2", "inf"]),
        (pd.DataFrame({"x": [pd.Timestamp(0)], "y": [1.0]}), ["'x'"]),
        (pd.DataFrame({"x": [[1.0]], "y": [1.0]}), ["'x'"]),
        (pd.DataFrame({"x": pd.Series([], dtype=float), "y": pd.Series([], dtype=float)}), ["no rows"]),
    ],
    ids=["text", "inf", "time", "lists", "empty"],
)
def test_a_bad_parquet_file_is_refused_in_one_line_and_creates_nothing(
    frame: pd.DataFrame, fragments: list[str], refused: Callable[[str], str], tmp_path: Path
) -> None:
    frame.to_parquet(tmp_path / "data.parquet")
    message = refused("problem=table problem.path=data.parquet problem.targets=[y]")
    for fragment in ["data.parquet", *fragments]:
        assert fragment in message


@pytest.mark.parametrize(("starts", "line", "fragments"), STARTS)
def test_bad_starts_are_refused_in_one_line_and_create_nothing(
    starts: np.ndarray[Any, Any], line: str, fragments: list[str], refused: Callable[[str], str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "starts.npz", starts=starts)
    message = refused(f"init=given init.path=starts.npz {line}")
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize(("content", "fragments"), STUDIES)
def test_a_bad_study_of_ones_own_is_refused_in_one_line_and_creates_nothing(
    content: str, fragments: list[str], refused: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(content)
    message = refused("--config-dir=mine experiment=own")
    for fragment in fragments:
        assert fragment in message


def test_more_processes_than_the_machine_has_memory_for_are_refused(
    refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("basinet.foundation.machine.memory", lambda: 10**9)
    message = refused("-m seed=1,2,3 hydra/launcher=joblib hydra.launcher.n_jobs=1000")
    assert "hydra.launcher.n_jobs: 3 processes take 2 GiB, this machine has 1" in message


def test_a_study_of_ones_own_may_not_bear_the_name_of_one_that_would_be_used_instead(
    refused: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "depth.yaml").write_text(HEADER + "restarts: 5\n")
    message = refused("--config-dir=mine experiment=depth")
    assert "experiment=depth" in message
    assert "rename yours" in message


def test_a_deleted_experiment_is_not_added_to(refused: Callable[[str], str], sweeps: Command, tmp_path: Path) -> None:
    from basinet.tracking.store import TrackingStore

    store = TrackingStore.open(f"sqlite:///{tmp_path / 'mlflow.db'}")
    store.client.delete_experiment(store.experiment("gone"))
    message = refused("restarts=5 tracking.experiment=gone")
    assert "tracking.experiment=gone" in message
    assert "restore" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none(refused: Callable[[str], str]) -> None:
    message = refused("device=cuda")
    assert "device=cuda" in message
    assert "use device=cpu" in message


@pytest.mark.skipif(os.access("/", os.W_OK), reason="root can write everywhere")
@pytest.mark.parametrize("line", ["restarts=5", "tracking.uri=sqlite:///mlflow.db", "hydra.run.dir=outputs"])
def test_a_folder_that_cannot_be_written_to_is_refused(
    line: str, refused: Callable[[str], str], tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    message = refused(line)
    tmp_path.chmod(0o700)
    assert str(tmp_path) in message
    assert "written to" in message


@pytest.mark.parametrize("name", ["mlflow.db", "mlflow.db.lock"])
def test_a_store_that_cannot_be_written_to_is_refused(
    name: str, refused: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is to users that are not root, which may write to everything."""
    (tmp_path / name).touch(0o444)
    usual = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / name and usual(path, mode))
    assert f"the file {tmp_path / name} cannot be written to" in refused("restarts=5")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("init=xaver", "xavier_normal"),
        pytest.param("--multirn", "--multirn", marks=pytest.mark.slow),
        pytest.param("-m network.depth=1,2,0", "network.depth=0", marks=pytest.mark.slow),
        pytest.param(
            "problem=table problem.path=nowhere.csv problem.targets=[y]",
            "problem.path=nowhere.csv",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_console_script_refuses_in_one_line_and_creates_nothing(line: str, fault: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [BIN / "basinet", *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("basinet: ")
    assert len(answer.stderr.splitlines()) == 1
    assert fault in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_there_are_a_hundred_bad_command_lines_and_tables() -> None:
    assert len(COMMANDS) + len(TABLES) + len(STARTS) + len(STUDIES) >= 100
