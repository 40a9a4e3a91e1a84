// An objective's settings and arrays by name, as Python's value has them, so that only its own file knows them.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

namespace w2v {

// Arrays are kept alive by the caller and never written.
class Fields {
  public:
    void add(const std::string &name, const void *array) { arrays_[name] = array; }
    void add(const std::string &name, double number) { numbers_[name] = number; }

    template <class T>
    const T *array(const std::string &name) const {
        return static_cast<const T *>(find(arrays_, name));
    }
    double number(const std::string &name) const { return find(numbers_, name); }

  private:
    template <class Value>
    static Value find(const std::map<std::string, Value> &values, const std::string &name) {
        const auto at = values.find(name);
        if (at == values.end()) throw std::invalid_argument("the objective has no field " + name);
        return at->second;
    }

    std::map<std::string, const void *> arrays_;
    std::map<std::string, double> numbers_;
};

}  // namespace w2v
