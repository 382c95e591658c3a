// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/curl.h"

#include <dlfcn.h>

#include <string>

namespace tcptrail::cluster {
namespace {

Result<Curl> load() {
    // The name of the interface of versions 7 and 8.
    void* library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) return fail(std::string(dlerror()) + "; install libcurl (Debian: libcurl4)");
    Curl curl{};
    std::string missing;
    const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
        if (!function && missing.empty()) missing = name;
    };
#define FIND(name) find(curl.name, "curl_" #name)
    FIND(global_init);
    FIND(easy_init);
    FIND(easy_cleanup);
    FIND(easy_setopt);
    FIND(easy_getinfo);
    FIND(easy_strerror);
    FIND(multi_init);
    FIND(multi_cleanup);
    FIND(multi_add_handle);
    FIND(multi_remove_handle);
    FIND(multi_perform);
    FIND(multi_poll);
    FIND(multi_wakeup);
    FIND(multi_info_read);
    FIND(slist_append);
    FIND(slist_free_all);
#undef FIND
    if (!missing.empty())
        return fail("libcurl.so.4 has no " + missing + "; install libcurl 7.68 or later (Debian: libcurl4)");
    if (const CURLcode code = curl.global_init(CURL_GLOBAL_DEFAULT); code != CURLE_OK)
        return fail(std::string("libcurl: ") + curl.easy_strerror(code));
    return curl;
}

}  // namespace

Result<const Curl*> load_curl() {
    static const Result<Curl> curl = load();
    if (!curl) return std::unexpected(curl.error());
    return &*curl;
}

}  // namespace tcptrail::cluster
