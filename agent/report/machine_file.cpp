#include "agent/report/machine_file.hpp"

#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

#include <limits>
#include <utility>

namespace agent {
namespace {

constexpr std::int64_t schema = 1;

std::string text_of(const MachineCard& card) {
    Value::Array tags;
    for (const auto& tag : card.tags)
        tags.emplace_back(tag);
    Value::Object variables;
    for (const auto& [name, value] : card.variables)
        variables.push_back({name, value, {}});
    return write_json(Value::Object{
               {"schema", schema, {}},
               {"name", card.name, {}},
               {"project", card.project, {}},
               {"zone", card.zone, {}},
               {"network", card.network, {}},
               {"tags", std::move(tags), {}},
               {"external_address", card.has_external_address, {}},
               {"port", std::int64_t{card.port}, {}},
               {"reach", card.reach == Reach::everywhere ? "everywhere" : "this_machine", {}},
               {"landing", card.landing, {}},
               {"user", card.user, {}},
               {"prefix", card.prefix, {}},
               {"directory", card.directory, {}},
               {"variables", std::move(variables), {}}}) +
           "\n";
}

Result<void> replace(const Root& root, const char* file, std::string_view content) {
    const FileMode mode{.mode = 0644};
    if (file_is(root / file, content, mode))
        return {};
    return durable_write(root / file, content, mode, Durability::ephemeral);
}

} // namespace

Result<void> write_machine_card(const Root& root, const MachineCard& card) {
    return replace(root, layout::machine_file, text_of(card));
}

Result<void> publish_certificate(const Root& root, std::string_view certificate_pem) {
    return replace(root, layout::public_certificate, certificate_pem);
}

std::optional<MachineCard> read_machine_card(const Root& root) {
    const auto text = read_file(root / layout::machine_file);
    if (!text || !*text)
        return std::nullopt;
    const auto value = parse_json(**text);
    if (!value || value->integer_or("schema", 0) != schema)
        return std::nullopt;
    MachineCard card;
    card.name = value->string_or("name", "");
    card.project = value->string_or("project", "");
    card.zone = value->string_or("zone", "");
    card.network = value->string_or("network", "");
    card.landing = value->string_or("landing", "");
    card.user = value->string_or("user", "");
    card.prefix = value->string_or("prefix", "");
    card.directory = value->string_or("directory", "");
    const Value* tags = value->find("tags");
    if (tags && tags->as_array())
        for (const auto& tag : *tags->as_array())
            if (tag.as_string())
                card.tags.push_back(*tag.as_string());
    if (const Value* variables = value->find("variables"); variables && variables->as_object())
        for (const auto& [variable, said, position] : *variables->as_object())
            if (said.as_string())
                card.variables[variable] = *said.as_string();
    const Value* external = value->find("external_address");
    card.has_external_address = external && external->as_bool() && *external->as_bool();
    const auto port = value->integer_or("port", 0);
    if (port <= 0 || port > std::numeric_limits<std::uint16_t>::max())
        return std::nullopt;
    card.port = static_cast<std::uint16_t>(port);
    card.reach =
        value->string_or("reach", "") == "everywhere" ? Reach::everywhere : Reach::this_machine;
    return card;
}

} // namespace agent
