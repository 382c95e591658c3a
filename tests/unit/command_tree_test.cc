// SPDX-License-Identifier: Apache-2.0
//
// agent/commands/command_tree: the manual and the completions are written from what parses the command line.
#include "agent/commands/command_tree.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "agent/commands/command.h"
#include "agent/config_schema.h"
#include "tests/catch.h"

using namespace tcptrail;
using namespace tcptrail::commands;
using Catch::Matchers::ContainsSubstring;

namespace {

// A program with the shapes that there are: a flag, a choice, a file, one without a name, a hidden command.
struct Program {
    CLI::App app{"does *things*", "tcptrail"};
    std::string text;
    bool flag = false;

    Program() {
        CLI::App* spool = app.add_subcommand("spool", "the store");
        CLI::App* stat = spool->add_subcommand("stat", "what's in it");
        stat->footer("\nExamples:\n  tcptrail spool stat\n");
        stat->add_option("file", text, "a single file");
        stat->add_option("-o,--output", text, "form")->type_name("text|json");
        stat->add_option("--set", text, "one key")->type_name("KEY=VALUE");
        stat->add_option("--config", text, "the file")->type_name("FILE");
        stat->add_flag("--all", flag, "all: [each]");
        app.add_subcommand("secret", "hidden")->group("");
    }
};

const OptionText& option(const CommandText& command, const std::string& name) {
    for (const OptionText& option : command.options)
        for (const std::string& one : option.names)
            if (one == name) return option;
    FAIL("no option " << name);
    throw 0;
}

}  // namespace

TEST_CASE("command tree: commands, options and what they take") {
    const Program program;
    const CommandText tree = describe_commands(program.app);
    REQUIRE(flatten(tree).size() == 3);
    const CommandText& stat = *flatten(tree)[2];
    CHECK(stat.path == "spool stat");
    CHECK(stat.description == "what's in it");
    CHECK(option(stat, "-o").names == std::vector<std::string>{"-o", "--output"});
    CHECK(option(stat, "-o").choices() == std::vector<std::string>{"text", "json"});
    CHECK(option(stat, "--config").is_file());
    CHECK(option(stat, "--config").choices().empty());
    CHECK(option(stat, "--all").value.empty());
    CHECK(option(stat, "--help").value.empty());
    bool has_argument = false;
    for (const OptionText& one : stat.options)
        has_argument = has_argument || (one.names.empty() && one.is_file());
    CHECK(has_argument);
}

TEST_CASE("command tree: the page of the commands") {
    const Program program;
    const std::string page = command_page(describe_commands(program.app));
    CHECK_THAT(page, ContainsSubstring("does \\*things\\*"));
    CHECK_THAT(page, ContainsSubstring("## tcptrail spool stat\n\nwhat's in it.\n\n"));
    CHECK_THAT(page, ContainsSubstring("*-o*, *--output* _text\\|json_\n\tform.\n\n"));
    CHECK_THAT(page, ContainsSubstring("```\nExamples:\n  tcptrail spool stat\n```\n"));
    CHECK(page.find("hidden") == std::string::npos);
}

TEST_CASE("command tree: the page of the configuration has every key") {
    const std::string page = config_page();
    CHECK_THAT(page, ContainsSubstring("*capture.ring\\_bytes* (size in bytes; default 8MiB)\n\tThe ring"));
    size_t found = 0;
    for (size_t at = 0; (at = page.find("\n*", at)) != std::string::npos; ++at)
        ++found;
    CHECK(found == config_keys().size() + 1);  // and SEE ALSO
}

TEST_CASE("command tree: each shell's script names what there is") {
    const Program program;
    const CommandText tree = describe_commands(program.app);
    for (const std::string& script : {bash_completion(tree), zsh_completion(tree), fish_completion(tree)}) {
        CHECK_THAT(script, ContainsSubstring("spool"));
        CHECK_THAT(script, ContainsSubstring("output"));
        CHECK_THAT(script, ContainsSubstring("text json"));
        CHECK_THAT(script, ContainsSubstring("capture.pin="));
        CHECK_THAT(script, ContainsSubstring("kafka.properties."));
        CHECK(script.find("secret") == std::string::npos);
    }
    CHECK_THAT(zsh_completion(tree), ContainsSubstring("all\\: \\[each\\]"));
    CHECK_THAT(fish_completion(tree), ContainsSubstring("what'\\''s in it"));
}
