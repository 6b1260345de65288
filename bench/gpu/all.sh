#!/usr/bin/env bash
# Everything that docs/gpu.md shows, in one go: lanes side by side on as many GPUs as there are, in the background, each
# in a process session of its own so that it outlives the call that started it. Results under RESULTS as they come.
#
#   bench/gpu/all.sh kit DIR       packages (../shared/gpu-kit's folders and wheels copied into DIR) unpacked to /tmp/site
#   bench/gpu/all.sh retrieval     once FAISS is unpacked: embedder and index for GPU 1; of four GPUs, the bench on 3
#   bench/gpu/all.sh vllm          once vLLM is too: stack on GPUs 0 and 1, then flags; of two GPUs the bench then, on 1
#   bench/gpu/all.sh table         what has been measured so far
set -u
root=$(cd "$(dirname "$0")/../.." && pwd); RESULTS=${RESULTS:-/tmp/podium-gpu/results}; mkdir -p "$RESULTS"
export RESULTS WORK=${WORK:-/tmp/podium-gpu} RUNS_DIR=${RUNS_DIR:-/tmp/podium-gpu/runs} PYTHONUNBUFFERED=1

kit() {
  cd "$1" && ls ./*.whl > /dev/null 2>&1 && python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target /tmp/site ./*.whl
  . ./unpack.sh   # after pip, which replaces the bin folder of its target
  cd "$root" && env | grep -E '^(PYTHONPATH|PATH|HF_HUB_OFFLINE|VLLM_[A-Z_]*|LD_LIBRARY_PATH)=' > "$WORK/kit.env"
}

gpus() { nvidia-smi -L | wc -l; }

use_kit() { [ -e "$WORK/kit.env" ] && set -a && . "$WORK/kit.env" && set +a; }

# Orchestrator: tasks served in the order they were taken, and room in the KV cache for the prompts of the others.
podium_flags() { export SERVE_SCHEDULING=priority SERVE_MAX_NUM_SEQS=${SEQS:-96} ORCHESTRATOR_PRIORITY=true; }

lane_embedder() {
  CUDA_VISIBLE_DEVICES=1 python3 "$root/bench/gpu/embedder.py" "$WORK" --tokenizer "$WORK/orchestrator" &&
    touch "$WORK/embedder.done"
}

lane_stack() {
  until [ -e "$WORK/embedder.done" ]; do sleep 1; done
  podium_flags
  "$root/bench/gpu/stack.sh" gpu-512 512
  [ -n "${NO_KILL:-}" ] || "$root/bench/gpu/stack.sh" gpu-kill 256 kill
  unset SERVE_SCHEDULING SERVE_MAX_NUM_SEQS ORCHESTRATOR_PRIORITY
  if [ "$(gpus)" -lt 4 ]; then
    lane flags0 lane_flags 0 "${VARIANTS:-ladder,podium_fp8,podium_api_servers,podium_no_prefix_cache}"
    lane retrieval lane_retrieval 1
  else
    lane flags0 lane_flags 0 "${VARIANTS_0-podium_no_async,podium_seqs_48}"
    lane flags1 lane_flags 1 "${VARIANTS_1-podium_api_servers,podium_seqs_192}"
  fi
}

lane_flags() {  # GPU VARIANTS
  [ -z "$2" ] || python3 "$root/bench/gpu/variants.py" --gpu "$1" --port "260$1" --model "$WORK/orchestrator" \
    --out "$RESULTS/flags$1.jsonl" --variants "$2"
}

lane_retrieval() {
  cd "$RESULTS" && CUDA_VISIBLE_DEVICES=$1 PYTHONPATH=$root/services/contracts:$root/services/retrieval:$PYTHONPATH \
    python3 "$root/bench/gpu/retrieval_bench.py" --soak "${SOAK:-600}" --seconds 10 ${RETRIEVAL_FLAGS:-}
  [ "$1" = 3 ] && [ -e "$WORK/vllm.ready" ] && lane flags3 lane_flags 3 "${VARIANTS_3-podium_batched_16384,podium_fp8_seqs_192}"
}

lane() {  # NAME COMMAND…: in a session of its own
  local name=$1; shift
  VLLM_CACHE_ROOT=${VLLM_CACHE_ROOT:-/tmp/vllm-cache-$name} setsid nohup "$root/bench/gpu/all.sh" "$@" > "$RESULTS/$name.out" 2>&1 < /dev/null &
}

case ${1:-} in
  kit) mkdir -p "$WORK"; kit "$2" ;;
  retrieval)
    use_kit
    [ -e "$WORK/orchestrator/config.json" ] || python3 "$root/bench/gpu/shapes.py" "$WORK/orchestrator"
    lane embedder lane_embedder
    [ "$(gpus)" -lt 4 ] || lane retrieval lane_retrieval 3 ;;
  vllm)
    touch "$WORK/vllm.ready"
    lane stack lane_stack
    [ "$(gpus)" -lt 4 ] ||
      lane flags2 lane_flags 2 "${VARIANTS:-ladder,podium_fp8,podium_no_prefix_cache,default,podium_kv_offload}" ;;
  lane_*) use_kit; "$@" ;;
  table) tail -n 40 "$RESULTS"/*.out ;;
  *) sed -n '2,9p' "$0"; exit 2 ;;
esac
