# For pip: which wheels a Linux host can load. Sourced.

# What glibc 2.28 and later can load, newest first.
platforms() {
  local machine; machine=$(uname -m)
  printf -- '--platform %s ' "manylinux_2_28_$machine" "manylinux_2_27_$machine" "manylinux_2_24_$machine" \
    "manylinux_2_17_$machine" "manylinux2014_$machine" "manylinux_2_12_$machine" "manylinux2010_$machine" \
    "manylinux_2_5_$machine" "manylinux1_$machine"
}
