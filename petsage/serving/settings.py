"""gunicorn's settings and hooks, all derived from `Config`.

gunicorn reads the names that it knows off this module and ignores all others:
https://gunicorn.org/reference/settings/.
"""

import sys
from pathlib import Path
from typing import Any

from petsage import logs
from petsage.config import Config, ConfigError
from petsage.serving import hooks
from petsage.serving.worker import Worker

try:
    _config = Config.load()
except ConfigError as error:
    print(error.lines(), file=sys.stderr)  # noqa: T201
    sys.exit(error.exit_code)

bind = [str(_config.bind), str(_config.management_bind)]
workers = _config.workers + 1
threads = _config.threads
worker_class = "petsage.serving.worker.Worker"
graceful_timeout = _config.graceful_seconds
loglevel = _config.log_level
logger_class = "petsage.serving.logger.Logger"
logconfig_dict = logs.settings(_config)
keepalive = 75  # longer than a proxy's, so that the proxy closes first: see deploy/nginx.conf
control_socket_disable = True  # its default place is the home directory
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
secure_scheme_headers: dict[str, str] = {}  # PETSAGE_PROXIES alone says which proxies are believed
forwarder_headers = ""  # a header named SCRIPT_NAME is a client's, and is dropped
umask = 0o177  # a unix socket is its owner's alone until `when_ready` opens the main one

pre_fork = hooks.pre_fork
post_fork = hooks.post_fork
pre_request = hooks.pre_request
post_request = hooks.post_request
worker_exit = child_exit = hooks.worker_exit


def when_ready(server: Any) -> None:
    """Called once in the arbiter, when its listeners are open and no worker is forked yet."""
    hooks.open_instance(server, _config)


def post_worker_init(worker: Worker) -> None:
    """Called in each worker once it has loaded the application."""
    hooks.serve_management(worker, _config)
