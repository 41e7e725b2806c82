// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK: tw.dim_symbol @n {max = 64 : i64, min = 1 : i64, multiple_of = 8 : i64}
tw.dim_symbol @n {min = 1 : i64, max = 64 : i64, multiple_of = 8 : i64}
// CHECK: tw.dim_symbol @m
tw.dim_symbol @m
