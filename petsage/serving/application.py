"""What gunicorn serves, and by which settings: https://gunicorn.org/custom/."""

import logging
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from petsage import logs
from petsage.config import Config
from petsage.serving.arbiter import Arbiter
from petsage.serving.listeners import Handover
from petsage.serving.loading import OWN_APPLICATION, loaded
from petsage.serving.logger import Logger
from petsage.serving.worker import Worker

KEEPALIVE_SECONDS = 75
"""Longer than a proxy's, so that the proxy closes first: see deploy/nginx.conf."""


class ServedApplication(BaseApplication):
    """An application that gunicorn serves by PetSage's configuration."""

    def __init__(self, config: Config, name: str, handover: Handover) -> None:
        self.config = config
        self.name = name
        self.handover = handover
        super().__init__()

    def load_config(self) -> None:
        """Called once, by gunicorn."""
        logging.captureWarnings(True)
        for name, value in self._settings().items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI callable. gunicorn calls this in the arbiter for PetSage's own application, in
        each worker for any other."""
        return loaded(self.name)

    def _settings(self) -> dict[str, object]:
        """https://gunicorn.org/reference/settings/."""
        config = self.config
        return {
            "bind": [str(config.bind), str(config.management_bind)],
            "workers": config.workers + 1,
            "threads": config.threads,
            "worker_class": Worker,
            "preload_app": self.name == OWN_APPLICATION,
            "graceful_timeout": config.graceful_seconds,
            "keepalive": KEEPALIVE_SECONDS,
            "loglevel": config.log_level,
            "logger_class": Logger,
            "logconfig_dict": logs.settings(config),
            "control_socket_disable": True,  # its default path is in the home directory
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
            "secure_scheme_headers": {},  # PETSAGE_PROXIES alone says which proxies are believed
            "forwarder_headers": "",  # a client's header SCRIPT_NAME is dropped
            "pre_fork": Arbiter.prepare,
            "pre_request": Worker.begin_request,
            "post_request": Worker.end_request,
        }
