#include "gloo_names.h"
