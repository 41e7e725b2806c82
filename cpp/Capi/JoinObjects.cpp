//===- JoinObjects.cpp - Several objects become one -------------------------===//
//
// In:  the objects of a module's parts, which were emitted in parallel. Out: one object, as if nothing had been split.
// So cache, artefacts, export and loader know one kind of file, and equal programs give equal bytes.
//===----------------------------------------------------------------------===//
#include "Capi/JoinObjects.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace llvm;
using namespace llvm::ELF;

namespace {

template <typename T> T read(StringRef bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// One input, taken apart. Our own code generator wrote it, so its structure is trusted.
struct Input {
  StringRef bytes;
  SmallVector<Elf64_Shdr, 0> sections;
  SmallVector<Elf64_Sym, 0> symbols;
  StringRef sectionNames, symbolNames;
  SmallVector<uint32_t> newSection, newSymbol;

  explicit Input(StringRef bytes) : bytes(bytes) {
    auto header = read<Elf64_Ehdr>(bytes, 0);
    for (unsigned i = 0; i < header.e_shnum; ++i)
      sections.push_back(read<Elf64_Shdr>(bytes, header.e_shoff + i * sizeof(Elf64_Shdr)));
    sectionNames = content(sections[header.e_shstrndx]);
    for (const Elf64_Shdr &section : sections) {
      if (section.sh_type != SHT_SYMTAB)
        continue;
      symbolNames = content(sections[section.sh_link]);
      for (uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym))
        symbols.push_back(read<Elf64_Sym>(bytes, section.sh_offset + at));
    }
    newSection.assign(sections.size(), 0);
    newSymbol.assign(symbols.size(), 0);
  }
  StringRef content(const Elf64_Shdr &section) const {
    return section.sh_type == SHT_NOBITS ? StringRef() : bytes.substr(section.sh_offset, section.sh_size);
  }
  StringRef name(const Elf64_Shdr &section) const { return StringRef(sectionNames.data() + section.sh_name); }
  StringRef name(const Elf64_Sym &symbol) const { return StringRef(symbolNames.data() + symbol.st_name); }
};

/// A table of names, each once.
struct Names {
  std::string bytes = std::string(1, '\0');
  StringMap<uint32_t> places;

  uint32_t add(StringRef name) {
    if (name.empty())
      return 0;
    auto [place, isNew] = places.try_emplace(name, bytes.size());
    if (isNew) {
      bytes += name;
      bytes += '\0';
    }
    return place->second;
  }
};

class Joiner {
public:
  explicit Joiner(ArrayRef<StringRef> objects) {
    for (StringRef object : objects)
      inputs.emplace_back(object);
    sections.push_back({});
    contents.emplace_back();
    symbols.push_back({});
  }

  SmallVector<char, 0> join(std::string &error) {
    for (auto [number, input] : enumerate(inputs))
      if (!addSections(input, /*isFirst=*/number == 0, error))
        return {};
    addSymbols();
    for (Input &input : inputs)
      relocate(input);
    return write();
  }

private:
  SmallVector<Input, 0> inputs;
  SmallVector<Elf64_Shdr, 0> sections;
  SmallVector<std::string, 0> contents;
  SmallVector<Elf64_Sym, 0> symbols;
  unsigned firstGlobal = 0;
  Names sectionNames, symbolNames;

  bool addSections(Input &input, bool isFirst, std::string &error) {
    for (auto [number, section] : enumerate(input.sections)) {
      switch (section.sh_type) {
      case SHT_GROUP:
      case SHT_REL:
      case SHT_SYMTAB_SHNDX:
        error = "cannot join an object with section " + input.name(section).str();
        return false;
      case SHT_NULL:
      case SHT_SYMTAB:
      case SHT_STRTAB:
      case SHT_LLVM_ADDRSIG: // numbers symbols of its own object
        continue;
      default:
        break;
      }
      if (!isFirst && section.sh_size == 0 && section.sh_flags == 0)
        continue; // marks such as .note.GNU-stack: once is enough
      input.newSection[number] = sections.size();
      Elf64_Shdr copy = section;
      copy.sh_name = sectionNames.add(input.name(section));
      sections.push_back(copy);
      contents.push_back(input.content(section).str());
    }
    return true;
  }

  uint32_t add(Input &input, unsigned number, uint8_t binding, uint8_t visibility) {
    Elf64_Sym symbol = input.symbols[number];
    symbol.st_name = symbolNames.add(input.name(symbol));
    symbol.setBindingAndType(binding, symbol.getType());
    symbol.st_other = visibility;
    if (symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < SHN_LORESERVE)
      symbol.st_shndx = input.newSection[symbol.st_shndx];
    symbols.push_back(symbol);
    return input.newSymbol[number] = symbols.size() - 1;
  }

  static bool isHidden(const Elf64_Sym &symbol) { return (symbol.st_other & 3) == STV_HIDDEN; }

  void addSymbols() {
    StringMap<uint32_t> known;
    auto visit = [&](auto &&wanted, auto &&take) {
      for (Input &input : inputs)
        for (unsigned number = 1; number < input.symbols.size(); ++number)
          if (wanted(input.symbols[number]))
            take(input, number);
    };
    // Local ones come first; what was shared between the parts is local to the whole.
    visit([](const Elf64_Sym &symbol) { return symbol.getBinding() == STB_LOCAL; },
          [&](Input &input, unsigned number) {
            if (input.symbols[number].getType() != STT_FILE || &input == inputs.begin())
              add(input, number, STB_LOCAL, STV_DEFAULT);
          });
    auto isDefined = [](const Elf64_Sym &symbol) {
      return symbol.getBinding() != STB_LOCAL && symbol.st_shndx != SHN_UNDEF;
    };
    visit([&](const Elf64_Sym &symbol) { return isDefined(symbol) && isHidden(symbol); },
          [&](Input &input, unsigned number) {
            known[input.name(input.symbols[number])] = add(input, number, STB_LOCAL, STV_DEFAULT);
          });
    firstGlobal = symbols.size();
    visit([&](const Elf64_Sym &symbol) { return isDefined(symbol) && !isHidden(symbol); },
          [&](Input &input, unsigned number) {
            const Elf64_Sym &symbol = input.symbols[number];
            known[input.name(symbol)] = add(input, number, symbol.getBinding(), symbol.st_other);
          });
    visit([](const Elf64_Sym &symbol) { return symbol.getBinding() != STB_LOCAL && symbol.st_shndx == SHN_UNDEF; },
          [&](Input &input, unsigned number) {
            const Elf64_Sym &symbol = input.symbols[number];
            auto place = known.find(input.name(symbol));
            if (place != known.end())
              input.newSymbol[number] = place->second;
            else
              known[input.name(symbol)] = add(input, number, symbol.getBinding(), symbol.st_other);
          });
  }

  void relocate(Input &input) {
    uint32_t symbolTable = sections.size(); // it stands behind all that were copied
    for (auto [number, section] : enumerate(input.sections)) {
      uint32_t place = input.newSection[number];
      if (place == 0)
        continue;
      if (section.sh_flags & SHF_LINK_ORDER)
        sections[place].sh_link = input.newSection[section.sh_link];
      if (section.sh_type != SHT_RELA)
        continue;
      sections[place].sh_link = symbolTable;
      sections[place].sh_info = input.newSection[section.sh_info];
      std::string &bytes = contents[place];
      for (uint64_t at = 0; at < bytes.size(); at += sizeof(Elf64_Rela)) {
        auto entry = read<Elf64_Rela>(bytes, at);
        entry.setSymbol(input.newSymbol[entry.getSymbol()]);
        std::memcpy(bytes.data() + at, &entry, sizeof(entry));
      }
    }
  }

  void addTable(uint32_t type, StringRef name, std::string bytes, uint64_t entrySize, uint32_t link, uint32_t info) {
    Elf64_Shdr table{};
    table.sh_name = sectionNames.add(name);
    table.sh_type = type;
    table.sh_size = bytes.size();
    table.sh_link = link;
    table.sh_info = info;
    table.sh_addralign = entrySize ? 8 : 1;
    table.sh_entsize = entrySize;
    sections.push_back(table);
    contents.push_back(std::move(bytes));
  }

  SmallVector<char, 0> write() {
    std::string table(reinterpret_cast<const char *>(symbols.data()), symbols.size() * sizeof(Elf64_Sym));
    addTable(SHT_SYMTAB, ".symtab", table, sizeof(Elf64_Sym), sections.size() + 1, firstGlobal);
    addTable(SHT_STRTAB, ".strtab", symbolNames.bytes, 0, 0, 0);
    sectionNames.add(".shstrtab"); // before its bytes are taken
    addTable(SHT_STRTAB, ".shstrtab", sectionNames.bytes, 0, 0, 0);

    auto header = read<Elf64_Ehdr>(inputs.front().bytes, 0);
    SmallVector<char, 0> result(sizeof(header));
    for (auto [section, bytes] : zip(sections, contents)) {
      if (section.sh_type == SHT_NULL)
        continue;
      result.resize(alignTo(result.size(), std::max<uint64_t>(1, section.sh_addralign)));
      section.sh_offset = result.size();
      result.append(bytes.begin(), bytes.end());
    }
    result.resize(alignTo(result.size(), 8));
    header.e_shoff = result.size();
    header.e_shnum = sections.size();
    header.e_shstrndx = sections.size() - 1;
    std::memcpy(result.data(), &header, sizeof(header));
    auto *first = reinterpret_cast<const char *>(sections.data());
    result.append(first, first + sections.size() * sizeof(Elf64_Shdr));
    return result;
  }
};

} // namespace

SmallVector<char, 0> tilewright::joinObjects(ArrayRef<StringRef> objects, std::string &error) {
  return Joiner(objects).join(error);
}
