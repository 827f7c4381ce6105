#pragma once

/// Marks what libelman.so exports; everything else in it is hidden.
#define ELMAN_API __attribute__((visibility("default")))
