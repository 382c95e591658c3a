// SPDX-License-Identifier: Apache-2.0
//
// The forms behind text.h, one source each. Only sources of this folder include this. Lines have no line end.
#pragma once

#include <google/protobuf/generated_enum_reflection.h>

#include <string>

#include "agent/base/error.h"
#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::encode {

std::string table_header(bool wide);
std::string table_line(const v1::ConnectionEvent& event, bool wide);

// The same of connections that are open.
std::string open_table_header(bool wide);
std::string open_table_line(const v1::ConnectionEvent& event, bool wide);

std::string listener_table_header(bool wide);
std::string listener_table_line(const v1::Listener& listener, bool wide);

std::string csv_header(const google::protobuf::Descriptor& type);
std::string csv_line(const google::protobuf::Message& message);

Result<std::string> json_line(const google::protobuf::Message& message);

// The short name of an enum's value: "CLIENT" for ROLE_CLIENT, "" for 0, digits for what a newer
// schema has added.
std::string enum_word(const google::protobuf::EnumDescriptor& type, int value);

template <class E>
std::string enum_word(E value) {
    return enum_word(*google::protobuf::GetEnumDescriptor<E>(), value);
}

}  // namespace tcptrail::encode
