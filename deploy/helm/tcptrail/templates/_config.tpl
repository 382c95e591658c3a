{{- /*
SPDX-License-Identifier: Apache-2.0
*/ -}}

{{/* What the chart mounts or sets itself is not for .Values.config: it would be one thing here and another there. */}}
{{- define "tcptrail.refuse" -}}
{{- range list
      (list "node" "the name of the node" )
      (list "capture.pin" "host.bpffs")
      (list "context.proc" "hostPID")
      (list "context.cgroup" "host.cgroup")
      (list "context.kubelet_logs" "host.logs")
      (list "spool.directory" "spool.hostPath")
      (list "spool.max_bytes" "spool.maxBytes")
      (list "kafka.brokers" "kafka.brokers")
      (list "kafka.topics" "kafka.topics")
      (list "kafka.properties" "kafka.properties")
      (list "kafka.property_files" "kafka.propertyFiles")
      (list "output.format" "stdout.enabled")
      (list "serve.metrics.listen" "metrics.port")
      (list "serve.metrics.token_file" "metrics.tokenSecret")
      (list "kubernetes.api_server" "kubernetes.apiServer")
      (list "kubernetes.remote" "kubernetes.remote") -}}
{{- $at := $.Values.config -}}
{{- range splitList "." (first .) -}}
{{- $at = ternary (get (default dict $at) .) nil (kindIs "map" $at) -}}
{{- end -}}
{{- if not (or (kindIs "invalid" $at) (eq (toString $at) "")) -}}
{{- fail (printf "config.%s: the chart sets it; use the value %s" (first .) (last .)) -}}
{{- end -}}
{{- end -}}
{{- if and (empty .Values.kafka.brokers) (not .Values.stdout.enabled) -}}
{{- fail "kafka.brokers: name at least one, as in --set kafka.brokers={kafka-0.kafka:9092}; or stdout.enabled=true, to print events instead" -}}
{{- end -}}
{{- if and .Values.kafka.brokers .Values.stdout.enabled -}}
{{- fail "stdout.enabled: events go to kafka.brokers or to the log, not to both" -}}
{{- end -}}
{{- range $property, $_ := .Values.kafka.properties -}}
{{- if has $property (list "sasl.password" "ssl.key.password" "ssl.key.pem" "ssl.keystore.password" "sasl.oauthbearer.client.secret") -}}
{{- fail (printf "kafka.properties: %s is a secret, and a ConfigMap is none; use kafka.existingSecret and kafka.propertyFiles" $property) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.kafka.propertyFiles (not .Values.kafka.existingSecret) -}}
{{- fail "kafka.propertyFiles: kafka.existingSecret says which Secret has these keys" -}}
{{- end -}}
{{- if and .Values.kubernetes.remote (not .Values.kubernetes.apiServer) -}}
{{- fail "kubernetes.remote: needs kubernetes.apiServer" -}}
{{- end -}}
{{- end -}}

{{- define "tcptrail.config" -}}
{{- include "tcptrail.refuse" . -}}
{{- $kafkaFolder := "/run/secrets/tcptrail/kafka" -}}
{{- $own := dict
      "capture" (dict
        "pin" (ternary "/sys/fs/bpf/tcptrail" "" (not (empty .Values.host.bpffs)))
        "priority_boost" 0)
      "context" (dict
        "proc" (ternary "/proc" "/host/proc" .Values.hostPID)
        "cgroup" "/host/sys/fs/cgroup"
        "kubelet_logs" (ternary "/host/var/log" "" (not (empty .Values.host.logs))))
      "spool" (dict
        "directory" "/var/lib/tcptrail"
        "max_bytes" .Values.spool.maxBytes)
      "serve" (dict "metrics" (dict
        "listen" (printf "%s:%v" .Values.metrics.address .Values.metrics.port)
        "token_file" (printf "/run/secrets/tcptrail/metrics/%s" .Values.metrics.tokenSecret.key))) -}}
{{- if .Values.kafka.brokers -}}
{{- $kafka := dict "brokers" .Values.kafka.brokers "topics" .Values.kafka.topics -}}
{{- with .Values.kafka.properties -}}
{{- $_ := set $kafka "properties" . -}}
{{- end -}}
{{- $files := dict -}}
{{- range $property, $key := .Values.kafka.propertyFiles -}}
{{- $_ := set $files $property (printf "%s/%s" $kafkaFolder $key) -}}
{{- end -}}
{{- if $files -}}
{{- $_ := set $kafka "property_files" $files -}}
{{- end -}}
{{- $_ := set $own "kafka" $kafka -}}
{{- else -}}
{{- $_ := set $own "output" (dict "format" "jsonl") -}}
{{- end -}}
{{- if .Values.kubernetes.apiServer -}}
{{- $_ := set $own "kubernetes" (dict "api_server" .Values.kubernetes.apiServer "remote" .Values.kubernetes.remote) -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end -}}
