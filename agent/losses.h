// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "schemas/v1/agent.pb.h"

namespace tcptrail {

// What the stages have lost since it was told last, for the log.
class Losses {
public:
    struct Loss {
        std::string_view stage, reason;
        uint64_t count;
        std::string text;  // with what can be done about it
    };

    // Whether `report` has some that were not told. What the first report has was lost before this agent.
    bool has_untold(const v1::AgentReport& report);
    // Those, by reason; they count as told then.
    std::vector<Loss> tell(const v1::AgentReport& report);

private:
    std::vector<Loss> untold(const v1::AgentReport& report);

    bool has_begun_ = false;
    std::map<std::pair<std::string_view, std::string_view>, uint64_t> told_;  // by stage and reason
};

}  // namespace tcptrail
