# Two commands for everybody: `make run` and `make test`. The rest is for people who work on Campanile.

DATA ?= ./campanile-data
LISTEN ?= 127.0.0.1:8080
SKIPS := target/skipped-tests.txt
# The store's own tests choose their engines themselves.
ON_BOTH_ENGINES := (package(campanile-engine) & binary(it)) | (binary(whole_program) & test(/^rest_/))

.PHONY: run test check structure bench bench-full fmt setup clean-data

## Builds everything and starts the server with the ITSM pack and demo data.
run: setup
	cargo build --release --package campanile
	./target/release/campanile serve --data $(DATA) --listen $(LISTEN) --demo

## Sets up what the tests need and runs them all; those of the engine and of the APIs a second time, on PostgreSQL.
test: export CAMPANILE_TEST_SKIPS := $(abspath $(SKIPS))
test: setup
	@mkdir -p target && rm -f $(SKIPS)
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --workspace && \
	    CAMPANILE_TEST_ENGINE=postgres cargo nextest run --workspace -E '$(ON_BOTH_ENGINES)'; \
	else \
	    cargo test --workspace && \
	    CAMPANILE_TEST_ENGINE=postgres cargo test --workspace --test it && \
	    CAMPANILE_TEST_ENGINE=postgres cargo test --workspace --test whole_program rest_; \
	fi
	@if [ -s $(SKIPS) ]; then echo; echo "Skipped tests:"; sort -u $(SKIPS); else echo "No test was skipped."; fi

## Format, lints and structure.
check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

## Benchmarks: a table with ratios, under eight minutes.
bench: setup
	cargo build --release --package campanile
	scripts/with-postgres ./target/release/campanile bench --out target/bench.md

## The same with a million and ten million rows in the log.
bench-full: setup
	cargo build --release --package campanile
	scripts/with-postgres ./target/release/campanile bench --full --out target/bench-full.md

fmt:
	cargo fmt --all

setup:
	@scripts/setup

## Throws the data folder of `make run` away.
clean-data:
	rm -rf $(DATA)
