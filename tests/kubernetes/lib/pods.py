# SPDX-License-Identifier: Apache-2.0
"""Pods of the workload (tests/kubernetes/workload), as objects for the API server."""
from lib import cluster

IMAGE = "localhost/tcptrail-tests/workload:1"


def field(path):
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def container(name, *arguments, **more):
    """more: fields of the container. It writes down what it does, with its own name."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": [str(word) for word in arguments],
        "env": [
            {"name": "POD_NAMESPACE", **field("metadata.namespace")},
            {"name": "POD_NAME", **field("metadata.name")},
            {"name": "POD_UID", **field("metadata.uid")},
            {"name": "POD_IP", **field("status.podIP")},
            {"name": "CONTAINER", "value": name},
            {"name": "ORACLE", "value": "/oracle"},
        ],
        "volumeMounts": [{"name": "oracle", "mountPath": "/oracle"}],
        **more,
    }


def pod_spec(containers, **more):
    return {
        "containers": containers,
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsUser": 65532, "runAsGroup": 65532},
        "volumes": [{"name": "oracle", "hostPath": {"path": cluster.ORACLE, "type": "Directory"}}],
        **more,
    }


def deployment(namespace, name, replicas, containers, **more):
    """more: fields of the pod. One on the host's network has its ports alone: its successor waits for its end."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate" if more.get("hostNetwork") else "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(containers, **more)},
        },
    }


def service(namespace, name, address, port):
    """At a fixed address: nobody resolves names here."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "selector": {"app": name}, "ports": [{"port": port, "targetPort": port}]},
    }
