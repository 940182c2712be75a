// SPDX-FileCopyrightText: 2026 libmirror contributors
// SPDX-License-Identifier: MIT

// Something for a compiler to do: few lines, many templates.
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

using value = std::variant<int, double, std::string, std::vector<std::string>>;

int main()
{
	std::map<std::string, value> by_name;
	std::unordered_map<std::string, std::vector<value>> history;
	const std::regex word("([a-z]+)=([0-9.]+|[a-z,]+)");
	std::string line;

	while (std::getline(std::cin, line)) {
		for (std::sregex_iterator it(line.begin(), line.end(), word), end; it != end; ++it) {
			value v = (*it)[2].str();

			by_name[(*it)[1]] = v;
			history[(*it)[1]].push_back(std::move(v));
		}
	}
	for (auto &[name, values] : history)
		std::stable_sort(values.begin(), values.end());
	for (const auto &[name, v] : by_name)
		std::visit([&name = name](const auto &x) { std::cout << name << ' ' << sizeof(x) << '\n'; }, v);
}
