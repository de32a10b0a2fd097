"""The checks of tests/operations.sh, which installs what they need. Each function is a check; its name is what holds."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Beside this file lies one with the name of a package that is needed: packaging.py.
sys.path.pop(0)
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = ROOT / "examples/operations"
LOCKGATE = Path(sys.argv[1]).resolve()
# The oldest Kubernetes that is supported anywhere, some between, and the newest that the schemas know.
VERSIONS = ["1.29", "1.31", "1.33", "1.35", "1.37"]
# Not part of Kubernetes; cert-manager brings it.
FOREIGN = ["cert-manager.io/v1"]
# Longer than anything here takes.
SAFETY = 300


def run(*command, **further):
    """Runs a program: its exit code, and what it wrote."""
    command = [str(word) for word in command]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SAFETY, **further)
    return ended.returncode, ended.stdout + ended.stderr


def pair(folder):
    """A certificate and its key, in one file as HAProxy wants it, and apart."""
    key, certificate, both = (folder / name for name in ["key.pem", "cert.pem", "both.pem"])
    line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2"
    options = [*line.split(), "-addext", "subjectAltName=DNS:localhost"]
    code, said = run("openssl", *options, "-keyout", key, "-out", certificate)
    assert code == 0, said
    key.chmod(0o600)
    both.write_text(certificate.read_text() + key.read_text())
    return certificate, key, both


def haproxy():
    found = shutil.which("haproxy", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert found, "haproxy is missing: apt-get install haproxy"
    return found


def haproxy_reads_its_configurations_without_a_warning():
    with tempfile.TemporaryDirectory() as folder:
        certificate, _, both = pair(Path(folder))
        for name in ["tcp.cfg", "http.cfg"]:
            text = (OPERATIONS / "haproxy" / name).read_text()
            text = text.replace("/etc/haproxy/site.pem", str(both))
            text = text.replace("/etc/haproxy/nodes-ca.pem", str(certificate))
            changed = Path(folder) / name
            changed.write_text(text)
            code, said = run(haproxy(), "-c", "-f", changed)
            assert code == 0 and "WARNING" not in said, f"{name}: {said}"


def options_that_the_configurations_name_are_options_of_the_command():
    _, known = run(LOCKGATE, "serve", "--help")
    for name in ["tcp.cfg", "http.cfg"]:
        lines = (OPERATIONS / "haproxy" / name).read_text().splitlines()
        said = " ".join(line for line in lines if line.startswith("#"))
        options = set(re.findall(r"--[a-z-]+", said))
        assert options, name
        for option in options:
            assert re.search(rf"{option}\b", known), f"{name}: {option}"


def manifest():
    return list(yaml.safe_load_all((OPERATIONS / "kubernetes/lockgate.yaml").read_text()))


def the(kind):
    return next(document for document in manifest() if document["kind"] == kind)


def kubernetes_knows_every_member_of_the_manifest():
    checked = 0
    for document in manifest():
        if document["apiVersion"] in FOREIGN:
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
            checked += 1
    assert checked >= 4 * len(VERSIONS), checked
    # It can fail.
    wrong = the("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    try:
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("a member that is not there was not noticed")


def the_command_accepts_the_arguments_of_the_manifest():
    container = the("Deployment")["spec"]["template"]["spec"]["containers"][0]
    with tempfile.TemporaryDirectory() as folder:
        certificate, key, _ = pair(Path(folder))
        tickets = Path(folder) / "tickets"
        code, said = run(LOCKGATE, "ticket-keys", "new", tickets)
        assert code == 0, said
        place = {
            "/run/tls/tls.crt": certificate,
            "/run/tls/tls.key": key,
            "/run/tickets/tickets": tickets,
            "0.0.0.0:": "127.0.0.1:",
            ":8443": ":0",
            ":8080": ":0",
            ":9090": ":0",
            # No cluster answers here.
            "api.default.svc.cluster.local:3000": "127.0.0.1:9",
        }
        arguments = container["args"][1:]
        for shipped, here in place.items():
            assert any(shipped in argument for argument in arguments), shipped
            arguments = [argument.replace(shipped, str(here)) for argument in arguments]
        code, said = run(LOCKGATE, "check", *[a for a in arguments if not a.startswith("--public-port")])
        assert code != 64, said


def the_parts_of_the_manifest_fit_together():
    pod = the("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = dict(argument[2:].split("=", 1) for argument in container["args"] if "=" in argument)
    for option, port in [("https", "https"), ("http", "http"), ("admin", "admin")]:
        assert settings[option] == f"0.0.0.0:{named[port]}", option
    assert all(port["targetPort"] in named for port in the("Service")["spec"]["ports"])
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        assert container[probe]["httpGet"]["port"] == "admin"
    # What an end takes at most fits into the time that Kubernetes gives, with room to spare.
    takes = sum(int(settings[name].removesuffix("s")) for name in ["ready-grace", "drain-timeout"])
    assert takes + 5 <= pod["terminationGracePeriodSeconds"], takes
    # No new connections come any more when the drain begins: the kubelet looks, and then the others hear of it.
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] + 5 <= int(settings["ready-grace"].removesuffix("s"))
    secrets = {volume["secret"]["secretName"]: volume["name"] for volume in pod["volumes"]}
    assert the("Certificate")["spec"]["secretName"] in secrets
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert "subPath" not in str(container["volumeMounts"])
    for option, secret in [("cert", "lockgate-tls"), ("key", "lockgate-tls"), ("ticket-keys", "lockgate-tickets")]:
        assert settings[option].startswith(mounts[secrets[secret]] + "/"), option
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    for kind, selector in [
        ("Deployment", ["selector", "matchLabels"]),
        ("Service", ["selector"]),
        ("PodDisruptionBudget", ["selector", "matchLabels"]),
        ("NetworkPolicy", ["podSelector", "matchLabels"]),
    ]:
        selected = the(kind)["spec"]
        for part in selector:
            selected = selected[part]
        assert selected.items() <= labels.items(), kind


CHECKS = [
    haproxy_reads_its_configurations_without_a_warning,
    options_that_the_configurations_name_are_options_of_the_command,
    kubernetes_knows_every_member_of_the_manifest,
    the_command_accepts_the_arguments_of_the_manifest,
    the_parts_of_the_manifest_fit_together,
]

failed = 0
for check in CHECKS:
    try:
        check()
        print(f"ok      {check.__name__}")
    except Exception as fault:
        failed += 1
        print(f"FAILED  {check.__name__}: {type(fault).__name__}: {fault}")
print(f"{len(CHECKS) - failed} passed, {failed} failed")
sys.exit(bool(failed))
