// SPDX-License-Identifier: Apache-2.0
//
// libcurl, loaded when it is needed: with what it brings along it takes 6 MB of memory, which hosts without
// Kubernetes do not pay.
#pragma once

#include <curl/curl.h>

#include "agent/base/error.h"

namespace tcptrail::cluster {

// Its functions by their names without curl_.
struct Curl {
    decltype(&::curl_global_init) global_init;
    decltype(&::curl_easy_init) easy_init;
    decltype(&::curl_easy_cleanup) easy_cleanup;
    decltype(&::curl_easy_setopt) easy_setopt;
    decltype(&::curl_easy_getinfo) easy_getinfo;
    decltype(&::curl_easy_strerror) easy_strerror;
    decltype(&::curl_multi_init) multi_init;
    decltype(&::curl_multi_cleanup) multi_cleanup;
    decltype(&::curl_multi_add_handle) multi_add_handle;
    decltype(&::curl_multi_remove_handle) multi_remove_handle;
    decltype(&::curl_multi_perform) multi_perform;
    decltype(&::curl_multi_poll) multi_poll;
    decltype(&::curl_multi_wakeup) multi_wakeup;
    decltype(&::curl_multi_info_read) multi_info_read;
    decltype(&::curl_slist_append) slist_append;
    decltype(&::curl_slist_free_all) slist_free_all;
};

// Loads it once for the process, which keeps it. From any thread.
Result<const Curl*> load_curl();

}  // namespace tcptrail::cluster
