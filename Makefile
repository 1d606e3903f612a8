# llmqat: `make help` lists the targets.

BIN     := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
export CGO_ENABLED ?= 0

.PHONY: build cuda test test-race test-cuda gpu-bundle bench serve demo-qat report parity check lint generate ptx fuzz help

build: ## build the commands into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

# gorgonia.org/cu links with -lcuda: ours stands in for NVIDIA's (docs/cuda.md).
CUDA     := $(CURDIR)/kernels/cuda
CUDA_OUT := $(CURDIR)/bin/cuda
CUDA_GO  := CGO_ENABLED=1 CGO_CFLAGS='-O2 -I$(CUDA)/internal/libcuda' CGO_LDFLAGS='-L$(CUDA_OUT)' go

cuda: ## build the commands with CUDA into bin/: they run with or without a GPU
	$(MAKE) -C $(CUDA) OUT=$(CUDA_OUT) trampolines
	$(CUDA_GO) build -tags cuda -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

test: ## run every test; LLMQAT_TESTDATA=dir adds those on real models
	go test ./...

test-race: ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./...

test-cuda: ## the CUDA path's tests, on a driver that runs kernels in an emulator
	$(MAKE) -C $(CUDA) OUT=$(CUDA_OUT) trampolines fake test-emulator
	$(CUDA_GO) vet -tags cuda ./kernels/cuda ./runtime/device ./bench ./cmd/...
	LLMQAT_LIBCUDA=$(CUDA_OUT)/libcuda.so.1 $(CUDA_GO) test -count 1 -timeout 40m -tags cuda ./kernels/cuda ./runtime/device
	LLMQAT_LIBCUDA=$(CUDA_OUT)/libcuda.so.1 $(CUDA_GO) test -tags cuda -run CUDA ./cmd/llmqat-serve
	LLMQAT_LIBCUDA=$(CUDA_OUT)/libcuda.so.1 $(CUDA_GO) test -tags cuda -run GPU ./bench

BUNDLE := $(CURDIR)/$(BIN)/gpu-bundle

gpu-bundle: ## all that tests and measures on a machine with a GPU, into bin/gpu-bundle.tar.gz
	$(MAKE) -C $(CUDA) OUT=$(CUDA_OUT) trampolines
	rm -rf $(BUNDLE) && mkdir -p $(BUNDLE)/cmd/llmqat-serve/demo
	$(CUDA_GO) build -tags cuda -trimpath -ldflags '$(LDFLAGS)' -o $(BUNDLE)/bin/ ./cmd/bench ./cmd/llmqat ./cmd/llmqat-serve
	@for p in kernels/cuda runtime/device bench cmd/llmqat-serve; do mkdir -p $(BUNDLE)/$$p && \
		$(CUDA_GO) test -c -tags cuda -trimpath -ldflags '-s -w' -o $(BUNDLE)/$$p/package.test ./$$p || exit 1; done
	cp cmd/llmqat-serve/demo/stories260K.qat $(BUNDLE)/cmd/llmqat-serve/demo/
	cp bench/gpu/run.sh $(BUNDLE)/
	bench/gpu/pack.sh $(BUNDLE)

bench: build ## FP16 against 4-8-4 on the 1.1B shape
	$(BIN)/bench --shape tinyllama-1.1b --compare 16-16-16,4-8-4

serve: build ## serve the embedded demo model on 127.0.0.1:8080
	$(BIN)/llmqat-serve

check: lint test ## gofmt, vet, staticcheck, tests: run before every commit

demo-qat: build ## train stories260K to 4-8-4 and serve it: minutes, into demo-qat/ (docs/results/demo.sh says what can be set)
	docs/results/demo.sh

parity: ## evaluation beside lm-evaluation-harness and transformers, which it installs: up to an hour, into bin/parity/ (eval/parity/run.sh says what can be set)
	eval/parity/run.sh

report: build ## quality and speed of the small models on one page: minutes, into report/ (docs/results/report.sh says what can be set)
	docs/results/report.sh

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt-clean: $$out"; exit 1; }
	go vet ./...
	GOARCH=arm64 go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

generate: ## rewrite the generated assembly
	go generate ./...

ptx: ## rewrite the kernels' PTX (clang-19)
	$(MAKE) -C $(CUDA) OUT=$(CUDA_OUT) ptx

FUZZTIME ?= 60s
fuzz: ## run every fuzz target for FUZZTIME each
	@bin=$$(mktemp -d) && trap 'rm -rf $$bin' EXIT; \
	for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' */ | xargs -n 1 dirname | sort -u); do \
		go test -c -fuzz . -o $$bin/test ./$$dir || exit 1; \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed 's/func //'); do \
			echo "== $$dir $$f"; (cd $$dir && $$bin/test -test.run '^$$' -test.fuzz "^$$f$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 10x \
				-test.fuzzcachedir "$$(go env GOCACHE)/fuzz/github.com/llmqat/llmqat/$$dir") || exit 1; \
		done; done

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
