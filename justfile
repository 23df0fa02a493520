# Recipes over `cargo xtask` and the commands; `just --list` explains them.
# Variables go before the recipe, options of the command after it:
#
#   just project=../app create --verify-task test
#   just project=../app product --env MODE=production
#   just project=../app verify --verify-task test
#
# Paths are relative to this file.

set positional-arguments

# an image that has pixi
image := env("PIXI_IMAGE", "ghcr.io/prefix-dev/pixi:0.77.0")
# the Pixi project
project := "."
# its name in the workdir and the product
name := file_name(absolute_path(project))
# where it is built
workdir := "tmp/workdir-" + name
# where the logs of the final verification go
out := "tmp/proof-" + name

# List the recipes
[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Set up what is missing and take a small project the whole way, each command shown
[group('checkout')]
demo:
    cargo xtask demo

# Set up what is missing and run every test; WORDS go to `cargo test`
[group('checkout')]
test *WORDS:
    cargo xtask test "$@"

# Run the tests that need no engine: the core's own, and the commands against a scripted docker
[group('checkout')]
test-quick:
    cargo build --workspace
    cargo test --package pixi-offline
    cargo test --package testbed --test commands

# Compare the staging with the real rsync over CASES random trees and patterns
[group('checkout')]
test-staging CASES='2000':
    PIXI_OFFLINE_ORACLE_CASES="$1" cargo test --package testbed --test pure staging_oracle

# Run the tests of docs/explanation/reliability.md, those of many cases long (a quarter of an hour), and write that page
[group('checkout')]
reliability:
    cargo xtask reliability

# Measure the commands beside rsync and its like, as root (20 minutes of a quiet machine), and write docs/explanation/performance.md
[group('checkout')]
bench *WORDS:
    cargo xtask bench "$@"

# Try what the core promises on many more random inputs than the tests do; a SEED gives others
[group('checkout')]
fuzz SEED='5':
    PIXI_OFFLINE_LONG=1 PIXI_OFFLINE_FUZZ_SEED="$1" cargo test --package testbed --test pure -- fuzz staging_oracle --nocapture

# Check formatting and lints, as the continuous integration does
[group('checkout')]
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Format the code
[group('checkout')]
format:
    cargo fmt --all

# Build the static release binaries and print their directory
[group('checkout')]
build:
    cargo xtask build

# Write man pages and shell completions below PREFIX, ~/.local for example
[group('checkout')]
generate PREFIX:
    cargo xtask generate "$1"

# Pack the release binaries with all that belongs to them and print the path; FORM is deb, conda-recipe or image
[group('checkout')]
dist *FORM:
    cargo xtask dist "$@"

# Copy the release binaries into DIR
[group('checkout')]
install DIR:
    built="$(cargo xtask build)" && install -D -m 755 -t "$1" "$built/build-offline-product" "$built/create-workdir-from-host" "$built/create-workdir-from-container" "$built/make-archive-ready-product" "$built/final-verify-product" "$built/make-production-image" "$built/compare-products" "$built/make-product-update" "$built/pack-product" "$built/pixi-offline"

# The whole way from `project` to a proved product in `workdir`; OPTIONS go to build-offline-product
[group('project')]
offline *OPTIONS:
    built="$(cargo xtask build)" && "$built/build-offline-product" --image {{ quote(image) }} --project-dir {{ quote(project) }} --project-name {{ quote(name) }} --workdir {{ quote(workdir) }} "$@"

# Stage, install and verify `project` in `workdir`; OPTIONS go to create-workdir-from-host
[group('project')]
create *OPTIONS:
    built="$(cargo xtask build)" && "$built/create-workdir-from-host" --image {{ quote(image) }} --project-dir {{ quote(project) }} --project-name {{ quote(name) }} --workdir {{ quote(workdir) }} "$@"

# Make the product in `workdir`; OPTIONS go to make-archive-ready-product
[group('project')]
product *OPTIONS:
    built="$(cargo xtask build)" && "$built/make-archive-ready-product" --workdir {{ quote(workdir) }} --project-name {{ quote(name) }} "$@"

# Verify the product without a network, logs in `out`; OPTIONS go to final-verify-product
[group('project')]
verify *OPTIONS:
    built="$(cargo xtask build)" && "$built/final-verify-product" --image {{ quote(image) }} --product-dir {{ quote(workdir + '/product') }} --out-dir {{ quote(out) }} --project-name {{ quote(name) }} "$@"
