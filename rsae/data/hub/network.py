"""Whether there is any way to the hub: libraries try five times, and patience mends no missing network."""

import os
import socket
import sys
import time
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from huggingface_hub import constants

WAIT = 3.0  # seconds for an answer; one that comes later is a slow network, which is waited for elsewhere
AGAIN = 60.0  # seconds until a process that found no network looks again
PORTS = {"http": 80, "https": 443}

_reached: set[str] = set()  # endpoints that answered
_lost: float | None = None  # when this module last found no way and turned the process offline


def look() -> None:
    """Where the hub's name does not resolve or nobody answers there, do as HF_HUB_OFFLINE=1, for this process.

    Then what is in the cache is used, and what is not is told at once. A process that lives on, such as a
    notebook, looks again after :data:`AGAIN` seconds.
    """
    global _lost
    if _lost is None:
        if constants.HF_HUB_OFFLINE or constants.ENDPOINT in _reached:
            return
    elif time.monotonic() - _lost < AGAIN:
        return
    why = _no_way(constants.ENDPOINT)
    if why is None:
        _reached.add(constants.ENDPOINT)
        back()
        return
    if _lost is None:
        print(f"no network ({why}): only what is in the cache is used", file=sys.stderr)
        os.environ["HF_HUB_OFFLINE"] = "1"  # for libraries that are imported later
        _offline(True)
    _lost = time.monotonic()


def back() -> None:
    """Undo what :func:`look` did; what a user asked for by HF_HUB_OFFLINE stays."""
    global _lost
    if _lost is not None:
        _lost = None
        os.environ.pop("HF_HUB_OFFLINE", None)
        _offline(False)


def _offline(value: bool) -> None:
    constants.HF_HUB_OFFLINE = value
    if "datasets" in sys.modules:
        sys.modules["datasets"].config.HF_HUB_OFFLINE = value


def _no_way(address: str) -> str | None:
    """Why there is no way to ``address``, or to the proxy that leads there; None where there may be one."""
    asked, proxies = urlsplit(address), getproxies()
    proxy = proxies.get(asked.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(asked.hostname or ""):
        asked = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if asked.hostname is None:
        return None
    for again in (True, False):
        try:
            socket.create_connection((asked.hostname, asked.port or PORTS.get(asked.scheme, 80)), WAIT).close()
            return None
        except TimeoutError:
            return None
        except OSError as error:
            said = f"{asked.hostname}: {error.strerror or error}"
        if again:
            time.sleep(0.5)  # a name that is not resolved once may be the next time
    return said
