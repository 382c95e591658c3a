# SPDX-License-Identifier: Apache-2.0
#
# Reads a guest's output, which has Catch2's XML in it. Prints one line per thing tested:
#     verdict TAB seconds TAB name        verdict: ok, FAILED, skipped: why
# and with -v guest=NAME instead, with -v show=FAILED, what the failed ones said, and with -v show=warned what the
# others warned of.

function plain(text) {
    gsub(/&lt;/, "<", text)
    gsub(/&gt;/, ">", text)
    gsub(/&quot;/, "\"", text)
    gsub(/&amp;/, "\\&", text)
    return text
}

# The value of an attribute; XML has no quotation mark within it.
function attribute(name) {
    if (!match($0, " " name "=\"[^\"]*\"")) return ""
    return plain(substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4))
}

function tell(verdict, seconds) {
    if (!show) printf "%s\t%s\t%s\n", verdict, seconds == "" ? "-" : seconds, name
    else if (verdict == "FAILED") { if (show == "FAILED") printf "---- FAILED: %s: %s\n%s", guest, name, said }
    else if (warned && show == "warned") printf "---- %s: %s\n%s", guest, name, said
    name = ""
}

/^#### begin / { section = $3; said = ""; name = section == "check" ? "tcptrail check" : ""; next }
/^#### end check/ { tell($4 == 0 ? "ok" : "FAILED", ""); section = ""; next }
/^#### end / { section = ""; next }
section == "" { next }

/<TestCase / { name = attribute("name"); said = skipped = ""; warned = 0; next }
/^skipped: / { skipped = "skipped: " substr($0, length("skipped: " name ": ") + 1) }
/<Warning>/ { warned = 1 }
/<OverallResult / {
    tell(attribute("success") == "false" ? "FAILED" : skipped != "" ? skipped : "ok", attribute("durationInSeconds"))
    next
}
/<(Expression|Exception|FatalErrorCondition|Failure) / {
    said = said attribute("filename") ":" attribute("line") ": " attribute("type") "\n"
    next
}
{
    line = $0
    if (section == "kernel-test") gsub(/<\/?[A-Z][A-Za-z]*[^<>]*>/, "", line)
    if (line !~ /^[ \t]*$/) said = said plain(line) "\n"
}

# The guest ended in the middle of it.
END { if (name != "") { said = said "(it did not end)\n"; tell("FAILED", "") } }
