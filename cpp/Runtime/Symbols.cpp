//===- Symbols.cpp - The functions that compiled code may call ------------===//
//
// Addresses for Symbols.def. The conversions between float and the 16-bit types
// are written here in integer arithmetic, so that they do not depend on which
// compiler-rt or libgcc the build machine has.
//
// A 16-bit float travels in the low bits of a vector register on x86-64 and
// AArch64, exactly where a `float` has its low bits; `Half` below uses that, as
// C++ has had no portable 16-bit type before C++23.
//
//===----------------------------------------------------------------------===//

#include "Symbols.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_set>

namespace {

/// A value of a 16-bit type in the register that the ABI uses for it.
using Half = float;

template <typename To, typename From> To bitCast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

uint16_t bitsOf(Half half) { return static_cast<uint16_t>(bitCast<uint32_t>(half)); }
Half fromBits(uint16_t bits) { return bitCast<Half>(uint32_t{bits}); }

float halfToFloat(uint16_t bits) {
  uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  uint32_t exponent = (bits >> 10) & 0x1f;
  uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0x1f) // inf, NaN (quiet, payload kept)
    return bitCast<float>(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x00400000u : 0));
  if (exponent == 0) { // zero, subnormal: mantissa * 2^-24, exact in float
    float value = std::ldexp(static_cast<float>(mantissa), -24);
    return bitCast<float>(bitCast<uint32_t>(value) | sign);
  }
  return bitCast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

/// Rounds a double to a float so that a second rounding to 16 bits is right:
/// round to odd keeps a sticky lowest bit.
float roundToOdd(double value) {
  float nearest = static_cast<float>(value);
  if (std::isnan(value) || std::isinf(nearest) || static_cast<double>(nearest) == value)
    // Past the range of float, 16 bits overflow as well.
    return nearest;
  uint32_t bits = bitCast<uint32_t>(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value))
    --bits; // truncate towards zero first
  return bitCast<float>(bits | 1u);
}

uint16_t floatToHalf(float value) {
  uint32_t bits = bitCast<uint32_t>(value);
  uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) // rounds to 65536 or more
    return sign | 0x7c00u;
  if (magnitude < 0x38800000u) { // below 2^-14: a subnormal, or zero
    uint32_t exponent = magnitude >> 23;
    if (exponent < 102) // below 2^-25
      return sign;
    uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    uint32_t shift = 126 - exponent;
    uint32_t quotient = mantissa >> shift;
    uint32_t rest = mantissa & ((1u << shift) - 1);
    uint32_t tie = 1u << (shift - 1);
    quotient += rest > tie || (rest == tie && (quotient & 1));
    return static_cast<uint16_t>(sign | quotient);
  }
  uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

uint16_t floatToBfloat(float value) {
  uint32_t bits = bitCast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

template <typename Float> Float integerPower(Float base, int exponent) {
  Float result = 1;
  for (unsigned left = exponent < 0 ? 0u - static_cast<unsigned>(exponent) : static_cast<unsigned>(exponent); left;
       left >>= 1, base *= base)
    if (left & 1)
      result *= base;
  return exponent < 0 ? 1 / result : result;
}

} // namespace

extern "C" {
float tw__powisf2(float base, int exponent) { return integerPower(base, exponent); }
double tw__powidf2(double base, int exponent) { return integerPower(base, exponent); }
float tw__extendhfsf2(Half half) { return halfToFloat(bitsOf(half)); }
double tw__extendhfdf2(Half half) { return halfToFloat(bitsOf(half)); }
Half tw__truncsfhf2(float value) { return fromBits(floatToHalf(value)); }
Half tw__truncdfhf2(double value) { return fromBits(floatToHalf(roundToOdd(value))); }
float tw__extendbfsf2(Half half) { return bitCast<float>(uint32_t{bitsOf(half)} << 16); }
Half tw__truncsfbf2(float value) { return fromBits(floatToBfloat(value)); }
Half tw__truncdfbf2(double value) { return fromBits(floatToBfloat(roundToOdd(value))); }
float tw__gnu_h2f_ieee(uint16_t bits) { return halfToFloat(bits); }
uint16_t tw__gnu_f2h_ieee(float value) { return floatToHalf(value); }
}

// In C++ the names of the mathematical functions are overloaded, and the types
// do not matter here: declare each C function under a name of ours.
extern "C" {
#define TW_SYMBOL(name) void tw_c_##name() __asm__(#name);
#include "Symbols.def"
}

namespace tilewright {

const RuntimeSymbol *runtimeSymbols(size_t &count) {
  static const RuntimeSymbol table[] = {
#define TW_SYMBOL(name) {#name, reinterpret_cast<void *>(&tw_c_##name)},
#define TW_BUILTIN(name) {#name, reinterpret_cast<void *>(&tw##name)},
#include "Symbols.def"
  };
  count = sizeof(table) / sizeof(table[0]);
  return table;
}

bool isRuntimeSymbol(const char *name, size_t length) {
  static const auto *names = [] {
    auto *set = new std::unordered_set<std::string>;
    size_t count;
    const RuntimeSymbol *table = runtimeSymbols(count);
    for (size_t i = 0; i < count; ++i)
      set->insert(table[i].name);
    return set;
  }();
  return names->count(std::string(name, length)) != 0;
}

} // namespace tilewright
