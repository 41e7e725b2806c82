// RUN: tw-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{(c1) needs 0 <= min <= max and multiple_of > 0}}
tw.dim_symbol @dim_symbol_c1 {min = 8 : i64, max = 4 : i64}
