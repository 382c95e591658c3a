// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/setup.h"

namespace tcptrail::transmit {
namespace {

using std::string_view;

// What librdkafka or OpenSSL says, the first that fits, and what it means.
struct Meaning {
    string_view words;
    string_view text;
};

constexpr Meaning meanings[] = {
    {"key values mismatch",
     "the key in ssl.key.location is not that of the certificate in ssl.certificate.location"},
    {"no certificate assigned", "there is a key and no certificate: set ssl.certificate.location, too"},
    {"ssl.ca.location failed", "there is no certificate in PEM format in ssl.ca.location"},
    {"ssl.ca.pem failed", "there is no certificate in PEM format in ssl.ca.pem"},
    {"ssl.certificate.location failed", "there is no certificate in PEM format in ssl.certificate.location"},
    {"ssl.certificate.pem failed", "there is no certificate in PEM format in ssl.certificate.pem"},
    {"ssl.key.location failed",
     "there is no key in PEM format in ssl.key.location, or it is encrypted and ssl.key.password is not its "
     "password"},
    {"ssl.key.pem failed",
     "there is no key in PEM format in ssl.key.pem, or it is encrypted and ssl.key.password is not its "
     "password"},
    {"mac verify failure", "ssl.keystore.password is not the password of the file in ssl.keystore.location"},
    {"PKCS#12", "the file in ssl.keystore.location is not in PKCS#12 format"},
    // What librdkafka does where nothing is said: GSSAPI.
    {"sasl.kerberos.keytab",
     "security.protocol asks for credentials: set sasl.mechanism to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, "
     "or for "
     "GSSAPI, which it is when it is not set, sasl.kerberos.keytab"},
};

}  // namespace

std::string explain_setup(string_view reason) {
    for (const Meaning& meaning : meanings)
        if (reason.find(meaning.words) != string_view::npos)
            return std::string(meaning.text).append(" (").append(reason).append(")");
    return std::string(reason);
}

}  // namespace tcptrail::transmit
