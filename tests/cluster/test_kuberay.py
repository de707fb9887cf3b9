"""The KubeRay manifests against the CRDs of KubeRay 1.7.0 in the folder KUBERAY_CRDS."""

from __future__ import annotations

import copy
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.manifests import close, crds, documents, problems

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "cluster" / "kuberay"
FILES = {"raycluster.yaml": "RayCluster", "rayjob.yaml": "RayJob", "raycronjob.yaml": "RayCronJob"}


@pytest.fixture(scope="module")
def schemas():
    folder = os.environ.get("KUBERAY_CRDS")
    if not folder:
        pytest.skip("KUBERAY_CRDS names no folder with the CRDs of KubeRay")
    schemas_by_kind = crds(Path(folder))
    assert set(FILES.values()) <= set(schemas_by_kind)
    return schemas_by_kind


def load(name: str):
    manifest, *more = documents(KUBERAY / name)
    assert not more
    return manifest


def cluster_of(name: str):
    spec = load(name)["spec"]
    job = spec.get("jobTemplate", spec)
    return job.get("rayClusterSpec", job)


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_manifest_is_valid_for_its_crd(schemas, name, kind):
    assert problems(load(name), schemas[kind]) == []


def _job_typo(m):
    m["spec"]["submissionMde"] = m["spec"].pop("submissionMode")


def _words_for_numbers(m):
    m["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] = "three"


def _deep_typo(m):
    container = m["spec"]["rayClusterSpec"]["workerGroupSpecs"][1]["template"]["spec"]["containers"][0]
    container["resource"] = container.pop("resources")


def _no_such_version(m):
    m["spec"]["rayClusterSpec"]["autoscalerOptions"]["version"] = "v3"


@pytest.mark.parametrize(
    ("break_manifest", "error_text"),
    [
        (_job_typo, "submissionMde"),
        (_words_for_numbers, "'three' is not of type 'integer'"),
        (_deep_typo, "'resource' was unexpected"),
        (_no_such_version, "'v3' is not one of"),
        (lambda m: m["spec"]["rayClusterSpec"].pop("headGroupSpec"), "'headGroupSpec' is a required property"),
        (lambda m: m["metadata"].update(labls={}), "labls"),
        (lambda m: m.update(apiVersion="ray.io/v1alpha1"), "'ray.io/v1' was expected"),
    ],
)
def test_mistake_in_a_manifest_is_an_error(schemas, break_manifest, error_text):
    broken = copy.deepcopy(load("rayjob.yaml"))
    break_manifest(broken)
    assert any(error_text in problem for problem in problems(broken, schemas["RayJob"]))


def test_ray_cron_job_has_no_concurrency_policy(schemas):
    """The CRD has no such field. So the job itself must prevent two runs at once, as raycronjob.yaml explains."""
    broken = load("raycronjob.yaml")
    broken["spec"]["concurrencyPolicy"] = "Forbid"
    assert any("concurrencyPolicy" in problem for problem in problems(broken, schemas["RayCronJob"]))


def test_cron_job_is_valid(schemas):
    """The pod is checked against the pod template in the CRD of RayJob. The other keys are those of the core API."""
    by_kind = {m["kind"]: m for m in documents(KUBERAY / "cronjob.yaml")}
    assert list(by_kind) == ["ServiceAccount", "Role", "RoleBinding", "CronJob"]
    spec = by_kind["CronJob"]["spec"]
    cron = {
        "schedule",
        "timeZone",
        "concurrencyPolicy",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "jobTemplate",
    }
    assert set(spec) == cron and set(spec["jobTemplate"]["spec"]) == {"backoffLimit", "template"}
    pod = schemas["RayJob"]["properties"]["spec"]["properties"]["submitterPodTemplate"]
    assert problems(spec["jobTemplate"]["spec"]["template"], pod) == []
    broken = copy.deepcopy(spec["jobTemplate"]["spec"]["template"])
    broken["spec"]["serviceAcountName"] = "x"
    assert problems(broken, pod)


def test_role_of_the_cron_job_has_the_verbs_of_its_script():
    by_kind = {m["kind"]: m for m in documents(KUBERAY / "cronjob.yaml")}
    name = by_kind["ServiceAccount"]["metadata"]["name"]
    pod = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == name == by_kind["RoleBinding"]["subjects"][0]["name"]
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    (rule,) = by_kind["Role"]["rules"]
    script = pod["containers"][0]["args"][0]
    assert subprocess.run(["sh", "-n", "-c", script], capture_output=True).returncode == 0
    done = {word for word in ("get", "delete", "create") if f"kubectl {word} -f /nightly/rayjob.yaml" in script}
    assert rule["apiGroups"] == ["ray.io"] and rule["resources"] == ["rayjobs"]
    assert done == {"get", "delete", "create"} <= set(rule["verbs"])
    assert pod["volumes"][0]["configMap"]["name"] == "xner-nightly"
    assert load("rayjob.yaml")["metadata"]["name"]  # a fixed name instead of generateName prevents two jobs at once


@pytest.mark.parametrize("name", FILES)
def test_gpu_groups_start_at_zero_and_prefer_spot(name):
    spec = cluster_of(name)
    assert spec["enableInTreeAutoscaling"] is True and spec["autoscalerOptions"]["version"] == "v2"
    assert spec["authOptions"] == {"mode": "token"}
    groups = {g["groupName"]: g for g in spec["workerGroupSpecs"]}
    assert all(g["replicas"] == g["minReplicas"] == 0 < g["maxReplicas"] for g in groups.values())
    gpus = {n for n, g in groups.items() if "nvidia.com/gpu" in limits(g)}
    assert gpus == {f"{kind}{spot}" for kind in ("v100", "a100", "h100") for spot in ("", "-spot")}
    for spot in (n for n in groups if n.endswith("-spot")):
        twin = groups[spot.removesuffix("-spot")]
        assert groups[spot]["priority"] > twin["priority"] and limits(groups[spot]) == limits(twin)
        selectors = [groups[name]["template"]["spec"]["nodeSelector"] for name in (spot, spot.removesuffix("-spot"))]
        assert [x.pop("karpenter.sh/capacity-type") for x in selectors] == ["spot", "on-demand"]
        kind = spot.removesuffix("-spot")
        assert selectors == [{"karpenter.k8s.aws/instance-gpu-name": kind}] * 2  # a label that exists before the node
        assert f"accelerator_type:{kind.upper()}" in groups[spot]["rayStartParams"]["resources"]


@pytest.mark.parametrize("name", FILES)
def test_pods_have_the_service_account_and_time_to_drain(name):
    spec = cluster_of(name)
    head = spec["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"  # no actor runs beside the driver
    for group in (head, *spec["workerGroupSpecs"]):
        assert group["template"]["spec"]["serviceAccountName"] == "xner"
    for group in spec["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        (variable,) = pod["containers"][0]["env"]
        assert variable["name"] == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
        assert 0 < float(variable["value"]) < pod["terminationGracePeriodSeconds"]


def test_ray_reads_the_time_to_drain():
    from ray._private import ray_constants

    assert ray_constants.RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S > 0


def test_commands_for_gke_and_auto_mode_replace_every_label_of_karpenter(tmp_path):
    readme = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    gke, auto_mode = re.findall(r"^    (sed -i 's\|karpenter.*) cluster/kuberay/\*\.yaml$", readme, re.MULTILINE)
    for command, label in (
        (gke, "cloud.google.com/gke-accelerator"),
        (auto_mode, "eks.amazonaws.com/instance-gpu-name"),
    ):
        for name in FILES:
            file = tmp_path / name
            file.write_text((KUBERAY / name).read_text(encoding="utf-8"), encoding="utf-8")
            subprocess.run(["sh", "-c", f"{command} {file}"], check=True)
            spec = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
            job = spec.get("jobTemplate", spec)
            for group in job.get("rayClusterSpec", job)["workerGroupSpecs"][1:]:
                selector = group["template"]["spec"]["nodeSelector"]
                assert label in selector and all(isinstance(value, str) for value in selector.values())
                if command == gke:
                    assert not any("karpenter" in key for key in selector)
                    assert ("cloud.google.com/gke-spot" in selector) == group["groupName"].endswith("-spot")


def limits(group):
    return group["template"]["spec"]["containers"][0]["resources"]["limits"]


def test_all_manifests_have_the_same_cluster():
    assert cluster_of("rayjob.yaml") == cluster_of("raycluster.yaml") == cluster_of("raycronjob.yaml")
    assert cluster_of("raycluster.yaml")["rayVersion"] == pinned("ray")


def pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycronjob.yaml"])
def test_entrypoint_names_existing_files(name):
    spec = load(name)["spec"]
    python, script, config, *overrides = spec.get("jobTemplate", spec)["entrypoint"].split()
    assert python == "python" and (ROOT / script).is_file() and (ROOT / config).is_file()
    assert all("=" in override for override in overrides)


def test_nightly_refresh_has_one_entrypoint():
    """The RayCronJob and the RayJob that the command in the README makes for the CronJob have the same entrypoint."""
    from xner_ray.config.load import load_config

    readme = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    (command,) = [x.strip() for x in readme.splitlines() if x.strip().startswith("sed 's|jobs/pipeline.py|")]
    making, _, creating = command.partition(" | ")
    assert creating.startswith("kubectl create configmap xner-nightly --from-file=rayjob.yaml=")
    made = subprocess.run(["sh", "-c", making], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    nightly = yaml.safe_load(made)["spec"]["entrypoint"]
    assert nightly == load("raycronjob.yaml")["spec"]["jobTemplate"]["entrypoint"]
    python, script, config, *overrides = nightly.split()
    assert (python, script) == ("python", "jobs/refresh.py")
    assert load_config(ROOT / config, overrides).opus.limit_gb == 50


def test_close_keeps_open_schemas_open():
    schema = {
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}, "b": {"properties": {}}}
    }
    open_one = {"properties": {"x": {}}, "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"]["c"] = open_one
    close(schema)
    assert problems({"a": {"any": "text"}, "c": {"any": 1}}, schema) == []
    assert problems({"b": {"any": 1}}, schema) and problems({"d": 1}, schema)
