"""A fault for each check, planted in one rendering or in the files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from objects import find, of_kind, pods, say
from world import Object

PRODUCTION = "overlay production"
STAGING = "overlay staging"
ObjectFault = Callable[[list[Object]], object]


def spec(objects: list[Object], kind: str, name: str) -> dict[str, Any]:
    """An object's spec."""
    return find(objects, kind, name)["spec"]


def pod(objects: list[Object], kind: str, name: str) -> dict[str, Any]:
    """A workload's pod."""
    return next(p.spec for p in pods(objects) if say(p.owner) == f"{kind} {name}")


def server(objects: list[Object]) -> dict[str, Any]:
    """The audience's pod."""
    return pod(objects, "Deployment", "tallycast-server")


def app(objects: list[Object]) -> dict[str, Any]:
    """The process in it."""
    return server(objects)["containers"][0]


def keys(of: dict[str, Any]) -> list[dict[str, str]]:
    """What a pod has of the Secret tallycast."""
    items: list[dict[str, str]] = next(v["secret"]["items"] for v in of["volumes"] if v["name"] == "secrets")
    return items


def data(objects: list[Object], name: str) -> dict[str, str]:
    """A ConfigMap's data, whatever its hash."""
    return next(m["data"] for m in of_kind(objects, "ConfigMap") if m["metadata"]["name"].startswith(name))


def reword(objects: list[Object], name: str, file: str, old: str, new: str) -> None:
    """Other words in a file of a ConfigMap."""
    text = data(objects, name)[file]
    assert old in text, old
    data(objects, name)[file] = text.replace(old, new)


def drop(objects: list[Object], kind: str, name: str) -> None:
    """An object less."""
    objects.remove(find(objects, kind, name))


def policy(objects: list[Object], name: str) -> dict[str, Any]:
    """A NetworkPolicy's spec."""
    return spec(objects, "NetworkPolicy", name)


def behavior(objects: list[Object]) -> dict[str, Any]:
    """How the autoscaler moves."""
    return spec(objects, "ScaledObject", "tallycast-server")["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]


def triggers(objects: list[Object]) -> list[dict[str, Any]]:
    """Its triggers: sessions, commits, CPU."""
    return spec(objects, "ScaledObject", "tallycast-server")["triggers"]


def rule(objects: list[Object]) -> dict[str, Any]:
    """Some rule of Prometheus."""
    return of_kind(objects, "PrometheusRule")[0]["spec"]["groups"][0]["rules"][0]


# One line each, to be read as a table.
# fmt: off
IN_OBJECTS: list[tuple[str, str, ObjectFault]] = [
    # schemas
    ("test_every_kubernetes_object_is_strictly_valid", PRODUCTION, lambda o: server(o)["initContainers"][0].update(restartPolcy="Always")),
    ("test_every_custom_resource_is_of_a_kind_that_is_listed", PRODUCTION, lambda o: o.append({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "x"}})),
    ("test_every_custom_resource_is_strictly_valid", STAGING, lambda o: spec(o, "Gateway", "tallycast")["listeners"][0].update(prot=1)),
    ("test_every_custom_resource_is_strictly_valid", PRODUCTION, lambda o: spec(o, "Certificate", "tallycast-tls").pop("issuerRef")),
    ("test_every_custom_resource_is_strictly_valid", PRODUCTION, lambda o: spec(o, "ScaledObject", "tallycast-server").update(pollingIntervall=5)),
    # references
    ("test_a_service_selects_pods_with_its_ports", PRODUCTION, lambda o: spec(o, "Service", "tallycast-server")["ports"][0].update(targetPort="htps")),
    ("test_a_service_selects_pods_with_its_ports", PRODUCTION, lambda o: spec(o, "Service", "tallycast-admin")["selector"].update(a="b")),
    ("test_a_workload_selects_its_own_pods", PRODUCTION, lambda o: spec(o, "Deployment", "tallycast-worker")["selector"]["matchLabels"].update(a="b")),
    ("test_a_probe_uses_a_port_of_its_own_container", PRODUCTION, lambda o: app(o)["livenessProbe"]["httpGet"].update(port="https")),
    ("test_a_scaler_scales_a_workload_without_a_number_of_its_own", PRODUCTION, lambda o: spec(o, "Deployment", "tallycast-server").update(replicas=3)),
    ("test_a_scaler_scales_a_workload_without_a_number_of_its_own", PRODUCTION, lambda o: spec(o, "ScaledObject", "tallycast-server")["scaleTargetRef"].update(name="server")),
    ("test_every_config_map_and_secret_of_a_pod_exists_or_is_listed", PRODUCTION, lambda o: app(o)["envFrom"][0]["configMapRef"].update(name="tallycast-config")),
    ("test_every_config_map_and_secret_of_a_pod_exists_or_is_listed", "overlay local", lambda o: pod(o, "Deployment", "tallycast-admin")["volumes"][-1]["secret"]["items"][1].update(key="key")),
    ("test_every_external_secret_is_used", PRODUCTION, lambda o: spec(o, "ExternalSecret", "tallycast")["data"][0].update(secretKey="secret")),
    ("test_every_mount_has_its_volume_and_every_volume_its_mount", PRODUCTION, lambda o: server(o)["volumes"].append({"name": "idle", "emptyDir": {}})),
    ("test_volume_claims_and_service_accounts_exist", PRODUCTION, lambda o: drop(o, "PersistentVolumeClaim", "tallycast-exports")),
    ("test_volume_claims_and_service_accounts_exist", PRODUCTION, lambda o: server(o).update(serviceAccountName="default")),
    ("test_a_stateful_set_has_its_headless_service", PRODUCTION, lambda o: spec(o, "StatefulSet", "tallycast-redis").update(serviceName="tallycast-redis")),
    ("test_only_load_balancer_services_have_load_balancer_fields", PRODUCTION, lambda o: spec(o, "Service", "tallycast-admin").update(type="ClusterIP")),
    ("test_only_load_balancer_services_have_load_balancer_fields", PRODUCTION, lambda o: spec(o, "Service", "tallycast-admin").pop("loadBalancerSourceRanges")),
    ("test_only_load_balancer_services_have_load_balancer_fields", PRODUCTION, lambda o: spec(o, "Service", "tallycast-server").pop("externalTrafficPolicy")),
    ("test_host_names_match_the_settings_everywhere", PRODUCTION, lambda o: spec(o, "Certificate", "tallycast-tls")["dnsNames"].reverse()),
    ("test_host_names_match_the_settings_everywhere", STAGING, lambda o: spec(o, "HTTPRoute", "tallycast").update(hostnames=["vote.example.org"])),
    ("test_a_load_balancer_or_route_has_its_host_name_where_certificates_are_made", PRODUCTION, lambda o: find(o, "Service", "tallycast-server")["metadata"]["annotations"].pop("external-dns.alpha.kubernetes.io/hostname")),
    ("test_a_load_balancer_or_route_has_its_host_name_where_certificates_are_made", STAGING, lambda o: find(o, "TLSRoute", "tallycast")["metadata"].pop("annotations")),
    ("test_a_route_leads_from_its_gateway_to_a_service", STAGING, lambda o: spec(o, "TLSRoute", "tallycast")["rules"][0]["backendRefs"][0].update(port=8443)),
    ("test_a_route_leads_from_its_gateway_to_a_service", STAGING, lambda o: spec(o, "HTTPRoute", "tallycast")["parentRefs"][0].update(sectionName="plain")),
    ("test_every_certificate_has_an_issuer", PRODUCTION, lambda o: drop(o, "Issuer", "tallycast-ca")),
    ("test_a_monitor_finds_the_pods_that_have_metrics", PRODUCTION, lambda o: of_kind(o, "PodMonitor")[0]["spec"]["selector"].update(matchLabels={"app.kubernetes.io/name": "redis"})),
    # pods
    ("test_every_container_has_requests_and_limits", PRODUCTION, lambda o: app(o)["resources"]["limits"].pop("memory")),
    ("test_a_pod_that_serves_has_2500_mebibytes", PRODUCTION, lambda o: app(o)["resources"]["limits"].update(memory="2500Mi")),
    ("test_every_container_is_restricted", PRODUCTION, lambda o: server(o)["initContainers"][0]["securityContext"].pop("readOnlyRootFilesystem")),
    ("test_every_container_is_restricted", PRODUCTION, lambda o: server(o)["securityContext"].update(runAsUser=0)),
    ("test_every_long_running_container_has_probes", PRODUCTION, lambda o: app(o).pop("readinessProbe")),
    ("test_the_grace_period_is_longer_than_a_drain", PRODUCTION, lambda o: server(o).update(terminationGracePeriodSeconds=20)),
    ("test_nginx_outlives_the_process_behind_it", PRODUCTION, lambda o: server(o)["initContainers"][0].pop("restartPolicy")),
    ("test_a_rollout_removes_no_pod_before_its_replacement_is_ready", PRODUCTION, lambda o: spec(o, "Deployment", "tallycast-server")["strategy"]["rollingUpdate"].update(maxUnavailable=1)),
    ("test_a_rollout_removes_no_pod_before_its_replacement_is_ready", PRODUCTION, lambda o: spec(o, "PodDisruptionBudget", "tallycast-server")["selector"]["matchLabels"].update(a="b")),
    ("test_a_rollout_removes_no_pod_before_its_replacement_is_ready", PRODUCTION, lambda o: spec(o, "PodDisruptionBudget", "tallycast-server").update(unhealthyPodEvictionPolicy="AlwaysAllow")),
    ("test_pods_spread_by_labels_that_they_have", PRODUCTION, lambda o: server(o)["topologySpreadConstraints"][0].update(matchLabelKeys=["component"])),
    ("test_every_object_is_labelled_and_every_image_has_a_tag", PRODUCTION, lambda o: app(o).update(image="tallycast")),
    ("test_every_object_is_labelled_and_every_image_has_a_tag", PRODUCTION, lambda o: find(o, "Service", "tallycast-server")["metadata"].pop("labels")),
    ("test_images_of_others_are_named_by_digest", PRODUCTION, lambda o: pod(o, "StatefulSet", "tallycast-redis")["containers"][0].update(image="redis:7.4-alpine")),
    ("test_images_of_others_are_named_by_digest", "overlay local", lambda o: server(o)["initContainers"][0].update(image="nginxinc/nginx-unprivileged@sha256:" + 64 * "0")),
    ("test_every_object_is_in_the_namespace", PRODUCTION, lambda o: find(o, "CronJob", "tallycast-export")["metadata"].pop("namespace")),
    ("test_the_version_is_the_packages", PRODUCTION, lambda o: find(o, "Deployment", "tallycast-admin")["metadata"]["labels"].update({"app.kubernetes.io/version": "0.0.1"})),
    # who sets the number of pods
    ("test_no_file_says_how_many_servers_there_are", "overlay local", lambda o: spec(o, "Deployment", "tallycast-server").update(replicas=3)),
    ("test_no_file_says_how_many_servers_there_are", "overlay local", lambda o: find(o, "Deployment", "tallycast-server")["metadata"]["annotations"].update({"tallycast/first-pods": "1"})),
    ("test_no_file_says_how_many_servers_there_are", PRODUCTION, lambda o: spec(o, "ScaledObject", "tallycast-server").update(minReplicaCount=4)),
    ("test_no_file_says_how_many_servers_there_are", PRODUCTION, lambda o: find(o, "Deployment", "tallycast-server")["metadata"]["annotations"].update({"tallycast/scaled-by": "hand"})),
    ("test_no_file_says_whether_pods_are_held", PRODUCTION, lambda o: behavior(o)["scaleDown"].update(selectPolicy="Max")),
    ("test_a_number_set_by_hand_is_reverted_unless_it_is_held", PRODUCTION, lambda o: behavior(o)["scaleDown"]["policies"][0].update(value=3)),
    ("test_a_held_number_stays_for_a_show_and_can_still_grow", PRODUCTION, lambda o: behavior(o)["scaleUp"].update(selectPolicy="Disabled")),
    ("test_without_prometheus_it_scales_up_by_cpu_and_never_down", PRODUCTION, lambda o: triggers(o).pop()),
    ("test_without_metrics_server_it_scales_up_by_sessions_and_never_down", PRODUCTION, lambda o: triggers(o)[0]["metadata"].update(threshold="0.9")),
    ("test_cpu_requests_a_pod_when_sessions_do_and_before_one_is_full", PRODUCTION, lambda o: triggers(o)[2]["metadata"].update(value="95")),
    ("test_cpu_requests_a_pod_when_sessions_do_and_before_one_is_full", PRODUCTION, lambda o: app(o)["resources"]["requests"].update(cpu="2")),
    ("test_an_audience_that_only_watches_is_scaled_by_sessions", PRODUCTION, lambda o: triggers(o)[0]["metadata"].update(threshold="0.9")),
    # room
    ("test_no_pod_is_refused_by_the_quota_in_a_rollout_or_a_scaling", PRODUCTION, lambda o: spec(o, "ScaledObject", "tallycast-server").update(maxReplicaCount=15)),
    ("test_no_pod_is_refused_by_the_quota_in_a_rollout_or_a_scaling", PRODUCTION, lambda o: spec(o, "ResourceQuota", "tallycast")["hard"].update({"requests.cpu": "32"})),
    ("test_no_pod_is_refused_by_the_quota_in_a_rollout_or_a_scaling", PRODUCTION, lambda o: spec(o, "Deployment", "tallycast-server")["strategy"]["rollingUpdate"].update(maxSurge="100%")),
    ("test_a_batch_of_old_pods_is_gone_before_the_next_one_goes", PRODUCTION, lambda o: spec(o, "Deployment", "tallycast-server").update(minReadySeconds=5)),
    # network
    ("test_the_default_policy_denies_everything", PRODUCTION, lambda o: policy(o, "deny-all").update(policyTypes=["Ingress"])),
    ("test_every_policy_selects_existing_pods", PRODUCTION, lambda o: policy(o, "audience-to-server")["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "sever"})),
    ("test_every_named_port_of_a_policy_is_one_of_its_pods", PRODUCTION, lambda o: policy(o, "prometheus-to-metrics")["ingress"][0]["ports"][0].update(port="metric")),
    ("test_the_audience_reaches_tls_and_nothing_else", PRODUCTION, lambda o: policy(o, "audience-to-server")["ingress"][0]["ports"].append({"protocol": "TCP", "port": "http"})),
    ("test_the_audience_reaches_tls_and_nothing_else", "overlay local", lambda o: policy(o, "ledger-from-pods")["ingress"].append({"ports": [{"protocol": "TCP", "port": "redis"}]})),
    ("test_the_audience_reaches_tls_and_nothing_else", PRODUCTION, lambda o: policy(o, "audience-to-redirect")["ingress"][0]["ports"][0].update(port="nginx-health")),
    ("test_the_audience_reaches_tls_and_nothing_else", STAGING, lambda o: policy(o, "audience-to-server")["ingress"][0]["ports"].append({"protocol": "TCP", "port": "redirect"})),
    ("test_only_pods_that_use_the_ledger_reach_it", PRODUCTION, lambda o: policy(o, "pods-to-ledger")["podSelector"]["matchExpressions"][1].update(values=["server", "admin"])),
    ("test_jobs_reach_the_services_that_they_call", "component cronjobs", lambda o: drop(o, "NetworkPolicy", "admin-from-cronjobs")),
    ("test_pods_that_call_the_outside_reach_it_by_https_only", PRODUCTION, lambda o: policy(o, "worker-to-webhooks")["egress"][0].pop("ports")),
    ("test_every_pod_can_reach_dns", PRODUCTION, lambda o: policy(o, "names")["egress"][0]["ports"].pop()),
    ("test_only_prometheus_reaches_the_metrics", PRODUCTION, lambda o: policy(o, "prometheus-to-metrics")["ingress"][0].pop("from")),
    # the service itself
    ("test_every_variable_is_a_setting_that_exists", PRODUCTION, lambda o: data(o, "tallycast-config").update(TALLYCAST__SERVER__PROT="80")),
    ("test_every_role_starts_and_is_ready_with_its_settings_and_this_redis", PRODUCTION, lambda o: reword(o, "tallycast-redis", "redis.conf", "appendfsync always", "appendfsync everysec")),
    ("test_every_role_starts_and_is_ready_with_its_settings_and_this_redis", PRODUCTION, lambda o: reword(o, "tallycast-redis", "users.acl", "+setrange", "")),
    ("test_no_secret_is_in_an_environment", PRODUCTION, lambda o: app(o)["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "tallycast", "key": "emcee-key"}}})),
    ("test_no_secret_is_in_an_environment", PRODUCTION, lambda o: app(o)["envFrom"].append({"secretRef": {"name": "tallycast"}})),
    ("test_no_secret_is_in_an_environment", "overlay local", lambda o: data(o, "tallycast-config").update(TALLYCAST__SERVER__SECRET="0123456789abcdef")),
    ("test_no_secret_is_in_an_environment", "production with managed-redis", lambda o: data(o, "tallycast-config").update(TALLYCAST__LEDGER__URL="rediss://tallycast:in-plain-words@redis.example.org:6379/0")),
    ("test_a_pod_has_the_keys_of_its_role_and_no_others", PRODUCTION, lambda o: keys(server(o)).append({"key": "emcee-key", "path": "emcee-key"})),
    ("test_a_pod_has_the_keys_of_its_role_and_no_others", STAGING, lambda o: keys(pod(o, "Deployment", "tallycast-worker")).append({"key": "emcee-key", "path": "emcee-key"})),
    ("test_a_pod_signs_in_to_redis_with_the_password_of_its_user", PRODUCTION, lambda o: app(o)["env"].remove({"name": "TALLYCAST__LEDGER__USER", "value": "audience"})),
    ("test_a_pod_signs_in_to_redis_with_the_password_of_its_user", "production with redis-sentinel", lambda o: reword(o, "tallycast-redis", "users.acl", "#redis-audience", "#redis-tallycast")),
    ("test_every_role_starts_and_is_ready_with_its_settings_and_this_redis", PRODUCTION, lambda o: app(o)["env"].append({"name": "TALLYCAST__SERVER__TICK_MS", "value": "5"})),
    ("test_every_command_line_is_valid", PRODUCTION, lambda o: pod(o, "CronJob", "tallycast-purge")["containers"][0].update(args=["purge", "--older", "90d"])),
    ("test_every_command_line_is_valid", "task loadtest-disturbed", lambda o: pod(o, "Job", "tallycast-loadtest")["containers"][0]["args"].__setitem__(0, "disturbd")),
    ("test_every_command_line_is_valid", "task loadtest-tenfold", lambda o: pod(o, "Job", "tallycast-loadtest")["containers"][0]["args"].append("--procesess")),
    ("test_the_limits_of_nginx_lie_above_the_capacity_of_the_process", PRODUCTION, lambda o: data(o, "tallycast-config").update(TALLYCAST__SERVER__MAX_SOCKETS="12000")),
    ("test_nginx_accepts_its_configuration", PRODUCTION, lambda o: reword(o, "tallycast-nginx", "internal.conf", "include", "inclde")),
    ("test_plain_http_is_redirected_to_https_under_the_same_name", PRODUCTION, lambda o: reword(o, "tallycast-nginx", "nginx.conf", "$host$request_uri", "$host")),
    ("test_plain_http_is_redirected_to_https_under_the_same_name", PRODUCTION, lambda o: spec(o, "Service", "tallycast-server")["ports"][0].update(port=80, targetPort="nginx-health")),
    ("test_every_queried_series_exists", PRODUCTION, lambda o: rule(o).update(expr="tallycast_votes_stored > 0")),
    ("test_every_queried_recorded_series_is_recorded", PRODUCTION, lambda o: spec(o, "ScaledObject", "tallycast-server")["triggers"][0]["metadata"].update(query="tallycast:nothing")),
    ("test_every_queried_recorded_series_is_recorded", "autoscaling-hpa without monitoring", lambda o: spec(o, "HorizontalPodAutoscaler", "tallycast-server")["metrics"].pop()),
    ("test_a_plain_autoscaler_queries_metrics_of_the_adapter", "component autoscaling-hpa", lambda o: spec(o, "HorizontalPodAutoscaler", "tallycast-server")["metrics"][0]["external"]["metric"].update(name="nothing")),
]
# fmt: on


# Faults that need more than one rendering.
IN_ALL: list[tuple[str, str, ObjectFault]] = [
    (
        "test_the_simulation_agrees_with_a_real_control_plane",
        "overlay production",
        lambda o: app(o)["resources"]["requests"].update(cpu="600m"),
    ),
    (
        "test_the_quota_allows_little_more_than_that",
        "overlay production",
        lambda o: spec(o, "ResourceQuota", "tallycast")["hard"].update({"requests.cpu": "64"}),
    ),
    (
        "test_the_documented_nodes_have_room_for_a_rollout",
        "overlay production",
        lambda o: app(o)["resources"]["requests"].update(cpu="800m"),
    ),
    (
        "test_the_server_accepts_the_address_of_every_ledger",
        "production with redis-sentinel",
        lambda o: data(o, "tallycast-config").update(TALLYCAST__LEDGER__URL="redis+sentinels://host"),
    ),
    (
        "test_the_server_accepts_the_address_of_every_ledger",
        "component gateway",
        lambda o: app(o).setdefault("env", []).append(
            {"name": "TALLYCAST__LEDGER__URL", "value": "redis+cluster://tallycast-redis:6379"}
        ),
    ),
    (
        "test_no_rendering_changes_immutable_fields_of_another",
        "production with redis-sentinel",
        lambda o: find(o, "StatefulSet", "tallycast-redis-sentinel")["metadata"].update(name="tallycast-redis"),
    ),
    (
        "test_no_rendering_changes_immutable_fields_of_another",
        "staging without dns",
        lambda o: spec(o, "Deployment", "tallycast-worker")["selector"]["matchLabels"].update(a="b"),
    ),
    (
        "test_the_ledgers_address_is_an_existing_service",
        "production with redis-sentinel",
        lambda o: data(o, "tallycast-config").update(TALLYCAST__LEDGER__URL="redis+sentinel://tallycast-redis-sentinel:6379/tallycast/0"),
    ),
    (
        "test_sentinels_address_each_other_by_pod_name",
        "production with redis-sentinel",
        lambda o: reword(o, "tallycast-redis", "start.sh", "nodes=tallycast-redis-sentinel-nodes", "nodes=tallycast-redis-nodes"),
    ),
    (
        "test_two_ledgers_can_run_side_by_side",
        "production with redis-sentinel",
        lambda o: find(o, "Service", "tallycast-redis-sentinel")["spec"]["selector"].pop("app.kubernetes.io/component"),
    ),
    (
        "test_workloads_that_the_page_waits_for_exist_after_the_move",
        "production with redis-sentinel",
        lambda o: find(o, "StatefulSet", "tallycast-redis-sentinel")["metadata"].update(name="tallycast-redis-ha"),
    ),
    (
        "test_the_page_deletes_all_of_the_old_ledger_and_nothing_else",
        "production with redis-sentinel",
        lambda o: drop(o, "PodDisruptionBudget", "tallycast-redis-sentinel") or find(o, "Service", "tallycast-redis-sentinel")["metadata"].update(name="tallycast-redis"),
    ),
    (
        "test_the_pods_shown_have_the_right_number_of_containers",
        "overlay local",
        lambda o: pod(o, "Deployment", "tallycast-worker")["containers"].append({"name": "more"}),
    ),
    (
        "test_a_missing_secret_is_shown_as_kubectl_shows_it",
        "overlay local",
        lambda o: pod(o, "Deployment", "tallycast-worker")["volumes"][0]["secret"].update(secretName="tallycast-keys"),
    ),
    (
        "test_a_missing_secret_is_shown_as_kubectl_shows_it",
        "task loadtest",
        lambda o: pod(o, "Job", "tallycast-loadtest")["containers"][0]["env"].append(
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "some-key"}}}
        ),
    ),
    (
        "test_a_task_is_applied_completely_by_its_label",
        "task loadtest",
        lambda o: find(o, "NetworkPolicy", "loadtest-to-admin")["metadata"]["labels"].pop(
            "app.kubernetes.io/component"
        ),
    ),
]


def write(path: str, text: str) -> Callable[[Path], object]:
    """A file more."""
    return lambda root: (root / path).write_text(text, encoding="utf-8")


def edit(path: str, old: str, new: str) -> Callable[[Path], object]:
    """Other words in a file."""

    def change(root: Path) -> None:
        text = (root / path).read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old}"
        (root / path).write_text(text.replace(old, new), encoding="utf-8")

    return change


SERVER_FILE = "manifests/base/server.yaml"
HPA_FILE = "manifests/components/autoscaling-hpa/horizontal-pod-autoscaler.yaml"
# As it was: a number in the file, next to the words that say why there is none.
A_NUMBER = edit(SERVER_FILE, "  # No `replicas`,", "  replicas: 3\n  # No `replicas`,")
DEPLOY, HOLD = "scripts/deploy.sh", "scripts/hold.sh"

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {emcee-key: in-plain-words}\n"
STAGING_FILE = "manifests/overlays/staging/kustomization.yaml"

# Faults that are found while everything is rendered again.
IN_RENDERING: list[tuple[str, Callable[[Path], object]]] = [
    (
        "test_everything_renders_without_deprecated_fields",
        edit("manifests/components/gateway/kustomization.yaml", "- gateway.yaml", "- gatway.yaml"),
    ),
    (
        "test_everything_renders_without_deprecated_fields",
        edit("manifests/overlays/local/kustomization.yaml", "patches:", "commonLabels: {a: b}\npatches:"),
    ),
    (
        "test_everything_renders_without_deprecated_fields",
        edit(STAGING_FILE, "    target: {kind: CronJob, name: tallycast-refresh}\n", ""),
    ),
]

IN_FILES: list[tuple[str, Callable[[Path], object]]] = [
    ("test_the_documented_working_is_what_is_simulated", edit("manifests/README.md", "| 38.1 |", "| 36.1 |")),
    (
        "test_the_documented_nodes_have_room_for_a_rollout",
        edit("docs/operations.md", "| 30,000 | 5 | 5 |", "| 30,000 | 5 | 3 |"),
    ),
    (
        "test_the_cluster_command_creates_the_documented_nodes",
        edit("docs/operations.md", "| 30,000 | 5 | 5 |", "| 30,000 | 5 | 6 |"),
    ),
    ("test_no_plain_secret_is_in_the_tree", write("manifests/secret.yaml", SECRET)),
    (
        "test_no_plain_secret_is_in_the_tree",
        edit("manifests/base/kustomization.yaml", "generatorOptions:", "secretGenerator: []\ngeneratorOptions:"),
    ),
    ("test_no_private_key_is_in_the_tree", write("config/tls.key", "-----BEGIN EC PRIVATE" + " KEY-----\n")),
    (
        "test_overlays_differ_only_in_components_patches_and_images",
        edit(STAGING_FILE, "patches:", "namePrefix: a\npatches:"),
    ),
    ("test_overlays_differ_only_in_components_patches_and_images", edit(STAGING_FILE, "  - ../../components/common\n", "")),
    ("test_overlays_differ_only_in_components_patches_and_images", edit(STAGING_FILE, "  - names\n", "")),
    ("test_each_host_name_of_an_overlay_is_written_once", edit(STAGING_FILE, "images:", "# for vote.staging.example.org\nimages:")),
    (
        "test_nothing_has_two_scalers",
        edit(STAGING_FILE, "  - ../../components/dns\n", "  - ../../components/autoscaling-hpa\n"),
    ),
    ("test_a_first_installation_begins_with_the_smallest_number", edit(DEPLOY, '--replicas="$first"', "--replicas=1")),
    ("test_what_was_scaled_stays_as_it_is", A_NUMBER),
    ("test_what_was_scaled_stays_as_it_is", edit(DEPLOY, "if [[ -n $(in_namespace get", "if [[ -z $(in_namespace get")),
    ("test_an_autoscaler_that_is_added_changes_no_number_by_itself", A_NUMBER),
    ("test_a_number_from_older_files_is_kept_when_they_no_longer_have_it", edit(DEPLOY, "  forget_number\n", "")),
    ("test_a_refused_apply_changes_nothing", edit(DEPLOY, "  exit 1\nfi\n\nif", "fi\n\nif")),
    ("test_an_apply_refused_by_a_slow_webhook_is_retried", edit(DEPLOY, " && sleep 5 &&", " && false &&")),
    ("test_fields_changed_by_others_are_reported_and_left_alone", edit(DEPLOY, "[[ -z ${FORCE:-} ]] ||", "")),
    ("test_an_unknown_overlay_is_refused", edit(DEPLOY, "  exit 2\nfi\nkubectl=", "  exit 1\nfi\nkubectl=")),
    ("test_a_number_is_held_and_released_with_a_plain_autoscaler", edit(HOLD, "set_policy Disabled", "set_policy Min")),
    ("test_a_number_is_held_and_released_with_a_plain_autoscaler", edit(HOLD, " --field-manager=tallycast-hold", "")),
    ("test_a_number_is_held_and_released_with_keda", edit(HOLD, "scaler=scaledobject.keda.sh/$name", "scaler=hpa/$name")),
    ("test_a_change_that_keda_does_not_apply_is_reported", edit(HOLD, "not paused?\" >&2\n    exit 1", "not paused?\" >&2")),
    ("test_without_an_autoscaler_the_number_is_set_directly", edit(HOLD, "if [[ -n $scaler ]]; then", "if true; then")),
    ("test_pods_that_do_not_become_ready_are_reported_and_held_nevertheless", edit(HOLD, "if ! in_namespace rollout", "if in_namespace rollout")),
    ("test_more_than_the_autoscaler_allows_is_refused", edit(HOLD, "((wanted > largest))", "((wanted > 99))")),
    ("test_holding_removes_no_pod", edit(HOLD, "((now < wanted))", "true")),
    ("test_an_invalid_number_is_refused", edit(HOLD, "[1-9][0-9]{0,2}", "[0-9]+")),
    ("test_a_later_apply_does_not_undo_it", edit(HPA_FILE, "    scaleDown:\n", "    scaleDown:\n      selectPolicy: Max\n")),
    ("test_a_second_time_changes_nothing", edit("scripts/certs.sh", "  exit 0\nfi", "fi")),
    (
        "test_a_further_name_makes_a_new_certificate_by_the_same_authority",
        edit("scripts/certs.sh", ' && $(cat "$folder/.names" 2>/dev/null) == "$san"', ""),
    ),
    (
        "test_nobody_else_can_read_the_keys",
        edit("scripts/certs.sh", 'rm "$folder/tls.csr"', 'chmod 644 "$folder"/*.key'),
    ),
    (
        "test_it_prints_what_it_compares_and_what_changed_since_the_release",
        edit("scripts/deploy_preview.sh", "git describe --tags", "git describe --tigs"),
    ),
    (
        "test_without_a_release_it_lists_the_objects_and_explains_how_to_compare",
        edit("scripts/deploy_preview.sh", "/^metadata:/ }", "/^spec:/ }"),
    ),
    (
        "test_a_custom_image_is_one_parameter_in_a_fresh_clone",
        edit("scripts/deploy_preview.sh", "${old:-tallycast}", "tallycast"),
    ),
    ("test_a_failed_comparison_is_reported", edit("scripts/deploy_preview.sh", 'echo "git knows no', 'echo "no')),
    (
        "test_nothing_deprecated_is_used",
        edit("manifests/base/kustomization.yaml", "generatorOptions:", "commonLabels: {}\ngeneratorOptions:"),
    ),
    ("test_every_component_is_valid_and_in_the_table", edit("manifests/README.md", "| `gateway` |", "| `gatway` |")),
    (
        "test_every_patch_has_a_target",
        edit("manifests/components/dns/kustomization.yaml", "kind: TLSRoute, ", "kind: TSLRoute, "),
    ),
    (
        "test_a_task_starts_each_time_and_with_a_new_image",
        edit("manifests/tasks/loadtest/kustomization.yaml", "#   kubectl -n tallycast delete", "# kubectl -n tallycast delete"),
    ),
    (
        "test_staging_is_refreshed_at_any_time",
        edit("manifests/components/refresh-staging/kustomization.yaml", "refresh-$(date +%s)", "refresh-now"),
    ),
    ("test_printed_output_is_marked_as_an_example", edit("docs/cluster.md", "```example\n", "```\n")),
    (
        "test_the_output_of_apply_matches_the_overlay",
        edit("docs/cluster.md", "configmap/tallycast-nginx-", "configmap/tallycast-proxy-"),
    ),
    (
        "test_unchanged_objects_are_printed_as_kubectl_prints_them",
        edit("docs/cluster.md", "namespace/tallycast configured", "namespace/tallycast unchanged"),
    ),
    (
        "test_debugging_uses_the_profile_that_the_namespace_requires",
        edit("docs/cluster.md", " --profile=restricted", ""),
    ),
    (
        "test_export_comes_before_the_switch_and_import_after_it",
        edit("docs/operations.md", "tallycast import move/*.ndjson\n", ""),
    ),
    ("test_every_file_is_used_by_the_kustomization_above_it", write("manifests/base/forgotten.yaml", "a: 1\n")),
    (
        "test_every_argo_subscription_names_an_existing_trigger_and_service",
        edit("manifests/gitops/argocd/notifications.yaml", "trigger.on-deployed:", "trigger.on-deploid:"),
    ),
    (
        "test_every_argo_trigger_sends_a_message_that_the_chat_accepts",
        edit("manifests/gitops/argocd/notifications.yaml", 'is degraded: kubectl', 'is "degraded": kubectl'),
    ),
    (
        "test_flux_watches_existing_objects_and_notifies_a_provider",
        edit("manifests/gitops/flux/production.yaml", "name: tallycast-production", "name: tallycast-live"),
    ),
]
