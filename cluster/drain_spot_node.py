"""Drains this node of a Ray cluster when its cloud announces that it takes the spot machine back.

AWS announces it two minutes before, Google Cloud 30 seconds. On a node that drains, Ray starts nothing new. What runs there may
end, and its death by then is not counted as a failure. On Kubernetes this script is not needed: the pod gets SIGTERM, and Ray
drains its node then.

It needs Python and the program `ray` alone, because it runs outside of jobs: `python drain_spot_node.py aws`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

AWS, GCP = "http://169.254.169.254", "http://metadata.google.internal"
GCP_NOTICE_SECONDS = 30
POLL_SECONDS = 2.0
TIMEOUT_SECONDS = 5.0
REASON = "DRAIN_NODE_REASON_PREEMPTION"


def seconds_left_aws(metadata: str) -> int | None:
    """Seconds until AWS takes this machine back; None: there is no notice."""
    token = _fetch(f"{metadata}/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}) or ""
    notice = _fetch(f"{metadata}/latest/meta-data/spot/instance-action", "GET", {"X-aws-ec2-metadata-token": token})
    if notice is None:
        return None
    end = datetime.fromisoformat(json.loads(notice)["time"].replace("Z", "+00:00"))
    return max(0, int((end - datetime.now(UTC)).total_seconds()))


def seconds_left_gcp(metadata: str) -> int | None:
    """Seconds until Google Cloud takes this machine back; None: there is no notice."""
    url = f"{metadata}/computeMetadata/v1/instance/preempted"
    preempted = _fetch(url, "GET", {"Metadata-Flavor": "Google"})
    return GCP_NOTICE_SECONDS if preempted == "TRUE" else None


def _fetch(url: str, method: str, headers: dict[str, str]) -> str | None:
    """The text of a page of the metadata; None: there is no such page."""
    request = urllib.request.Request(url, method=method, headers=headers)
    # The metadata server is on this machine, so no proxy of the environment is used.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return response.read().decode().strip()
    except urllib.error.HTTPError as e:
        if e.code == 404:
            return None
        raise


CLOUDS = {"aws": (seconds_left_aws, AWS), "gcp": (seconds_left_gcp, GCP)}


def drain(address: str, node_id: str | None, seconds: int) -> None:
    """Drain a node. Raises: CalledProcessError if Ray does not accept it."""
    command = ["ray", "drain-node", "--address", address, "--reason", REASON]
    command += ["--reason-message", "the cloud takes this spot machine back"]
    command += ["--deadline-remaining-seconds", str(seconds), *(["--node-id", node_id] if node_id else [])]
    subprocess.run(command, check=True)


def main() -> None:
    """Wait for the notice, drain the node, and end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cloud", choices=CLOUDS)
    parser.add_argument("--address", default="auto", help="of the head, HOST:PORT")
    parser.add_argument("--node-id", help="of the node to drain; default: this node")
    parser.add_argument("--metadata", help="address of the metadata server; default: that of the cloud")
    arguments = parser.parse_args()
    seconds_left, metadata = CLOUDS[arguments.cloud]
    metadata, problem = arguments.metadata or metadata, None
    while True:
        try:
            seconds = seconds_left(metadata)
            if seconds is not None:
                print(f"notice: {seconds} s are left; draining the node", flush=True)
                drain(arguments.address, arguments.node_id, seconds)
                return
            problem = None
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as e:
            # The next try may work, and the file of the log must not fill.
            if str(e) != problem:
                print(f"{type(e).__name__}: {e}", file=sys.stderr, flush=True)
            problem = str(e)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
