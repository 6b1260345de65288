#!/usr/bin/env bash
# The whole chain on two GPUs, without Docker, by podium-local and the serve script that the images use:
# vLLM on ORCHESTRATOR_GPU, retrieval on RETRIEVAL_GPU, the sandbox, podium-eval, podium-analysis.
# Random weights of the real architectures; tool choice required; every expert is the same vLLM.
#
#   bench/gpu/stack.sh RUN_ID N_TASKS [kill]      kill: SIGKILL to vLLM, then to retrieval, while tasks are in flight
#
# WORK holds shapes and index (made when absent), RUNS_DIR the runs. nvidia-smi is sampled into the run folder.
set -u
run=${1:?a run id}; tasks=${2:?a number of tasks}; kill=${3:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
export WORK=${WORK:-/tmp/podium-gpu} RUNS_DIR=${RUNS_DIR:-/tmp/podium-gpu/runs} PYTHONUNBUFFERED=1
mkdir -p "$WORK" "$RUNS_DIR/$run"
for member in services/contracts services/vllm services/retrieval services/sandbox services/local eval analysis; do
  PYTHONPATH=$root/$member:${PYTHONPATH:-}
done
export PYTHONPATH

[ -e "$WORK/orchestrator/config.json" ] || python3 "$root/bench/gpu/shapes.py" "$WORK/orchestrator" --shape "${SHAPE:-8b}"
[ -e "$WORK/embedder.done" ] || CUDA_VISIBLE_DEVICES=${RETRIEVAL_GPU:-1} python3 "$root/bench/gpu/embedder.py" "$WORK" \
  --tokenizer "$WORK/orchestrator" --documents "${DOCUMENTS:-300000}" ${EMBEDDER_FLAGS:-} && touch "$WORK/embedder.done"
python3 "$root/bench/gpu/questions.py" "$WORK/questions.jsonl" --n 2048

vllm=vllm/orchestrator@${ORCHESTRATOR_URL:-http://127.0.0.1:1406/v1}
for alias in SEARCH_1 SEARCH_2 SEARCH_3 REASONER_1 REASONER_2 REASONER_3 ANSWER_1 ANSWER_2 ANSWER_3 ANSWER_4 \
             ANSWER_MATH_1 ANSWER_MATH_2; do export EXPERT_$alias="$vllm"; done
export JUDGE=$vllm
export PROTOCOL=${PROTOCOL:-toolorchestra}   # its judge says one boolean, which even random weights end
export SERVE_MODEL=$WORK/orchestrator SERVE_EXTRA_ARGS="--load-format dummy ${SERVE_EXTRA_ARGS:-}"
export SERVE_MAX_MODEL_LEN=${SERVE_MAX_MODEL_LEN:-32768}
export ORCHESTRATOR_GPU=${ORCHESTRATOR_GPU:-0} RETRIEVAL_GPU=${RETRIEVAL_GPU:-1}
# Random weights would fill a grammar with white space for ever: it allows none, and turns are short.
export SERVE_EXTRA_ARGS="$SERVE_EXTRA_ARGS --structured-outputs-config.backend=xgrammar --structured-outputs-config.disable_any_whitespace=true"
export ORCHESTRATOR_MAX_TOKENS=${ORCHESTRATOR_MAX_TOKENS:-256} CHECK_TIMEOUT_S=${CHECK_TIMEOUT_S:-120}
export ORCHESTRATOR_TOOL_CHOICE=required ORCHESTRATOR_TOKENIZER=$WORK/orchestrator
export EXPERT_FORM=structured EXPERT_MAX_TOKENS=${EXPERT_MAX_TOKENS:-256}
export EMBEDDING_MODEL=${EMBEDDING_MODEL:-$WORK/embedder} INDEX_DIR=${INDEX_DIR:-$WORK/index}
export RETRIEVAL_MIN_SCORE=${RETRIEVAL_MIN_SCORE:--1}   # random vectors score near 0
export DATASET=$WORK/questions.jsonl

if command -v nvidia-smi > /dev/null; then
  nvidia-smi --query-gpu=timestamp,index,utilization.gpu,memory.used,power.draw --format=csv,nounits -l 1 \
    > "$RUNS_DIR/$run/nvidia-smi.csv" & smi=$!
  nvidia-smi --query-compute-apps=gpu_uuid,pid,name,used_memory --format=csv -l 15 > "$RUNS_DIR/$run/nvidia-apps.csv" & apps=$!
fi
trap 'command kill ${smi:-} ${apps:-} ${killer:-} 2> /dev/null' EXIT

if [ "$kill" = kill ]; then
  port=$(echo "${ORCHESTRATOR_URL:-http://127.0.0.1:1406/v1}" | sed 's#.*:\([0-9]*\)/.*#\1#')
  die_at() {  # N PATTERN: SIGKILL once N tasks are complete
    until [ "$(grep -c '"type":"task_complete"' "$RUNS_DIR/$run/events.jsonl" 2> /dev/null || true)" -ge "$1" ] 2> /dev/null
    do sleep 0.5; done
    echo "$(date +%T) SIGKILL to $(pgrep -f -- "$2" | tr '\n' ' ')($2)" >> "$RUNS_DIR/$run/kills.log"
    pkill -9 -f -- "$2"
  }
  { die_at $((tasks / 8)) "--port $port"; die_at $((tasks / 2)) "podium_retrieval serve"; } & killer=$!
fi

start=$(date +%s.%N)
python3 -m podium_local run --root "$root" --run-id "$run" --concurrency "${CONCURRENCY:-512}" --limit "$tasks" \
  --max-rounds "${MAX_ROUNDS:-8}" --no-check   # random weights never end the free text of the check's probe
status=$?
echo "stack: run $run of $tasks tasks ended with status $status after $(echo "$(date +%s.%N) - $start" | bc 2> /dev/null || echo "?") s"
exit $status
