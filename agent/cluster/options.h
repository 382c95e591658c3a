// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tcptrail::cluster {

// How the API server of a Kubernetes cluster is reached, and what it is asked for.
struct Options {
    std::string api_server;  // "https://host:port", "in-cluster"; empty: nobody is asked
    std::string token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";  // empty: no token
    std::string ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";    // empty: the system's
    bool remote = false;  // names of remote ends, too: all pods, services and nodes are watched
};

}  // namespace tcptrail::cluster
