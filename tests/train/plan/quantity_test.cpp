#include "train/plan/quantity.h"
#include <catch2/catch.hpp>
#include "train/errors.h"

using train::parse_quantity;
using train::written_quantity;

TEST_CASE("parse_quantity: prefix and unit -> value", "[quantity]") {
  CHECK(parse_quantity("--memory", "141GB", "B") == 141e9);
  CHECK(parse_quantity("--memory", "141G", "B") == 141e9);
  CHECK(parse_quantity("--memory", "141GiB", "B") == 141 * 0x1p30);
  CHECK(parse_quantity("--memory", "1.5Ki", "B") == 1536);
  CHECK(parse_quantity("--memory", "17", "B") == 17);
  CHECK(parse_quantity("--memory", "17B", "B") == 17);
  CHECK(parse_quantity("--bandwidth", "4.3TB", "B") == 4.3e12);
  CHECK(parse_quantity("--flops", "790T", "") == 790e12);
  CHECK(parse_quantity("--flops", "7.9e14", "") == 790e12);
}

TEST_CASE("parse_quantity: invalid text -> ConfigError", "[quantity]") {
  for (auto const* text :
       {"141XB", "GB", "", "-1GB", "0", "0GB", "1 GB", "1GBs", "nan", "inf", "1e999", "1gb"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_quantity("--memory", text, "B"), train::ConfigError);
  }
  CHECK_THROWS_AS(parse_quantity("--flops", "790TB", ""), train::ConfigError);
  CHECK_THROWS_WITH(parse_quantity("--memory", "141XB", "B"),
                    Catch::Contains("--memory: '141XB'; expected a positive number"));
}

TEST_CASE("written_quantity: value -> three digits with prefix and unit", "[quantity]") {
  CHECK(written_quantity(0, "B") == "0.00 B");
  CHECK(written_quantity(999, "B") == "999 B");
  CHECK(written_quantity(1000, "B") == "1.00 kB");
  CHECK(written_quantity(23.94e6, "B") == "23.9 MB");
  CHECK(written_quantity(141e9, "B") == "141 GB");
  CHECK(written_quantity(7.9e14, "FLOP/s") == "790 TFLOP/s");
  CHECK(written_quantity(2.5e15, "FLOP") == "2.50 PFLOP");
}
