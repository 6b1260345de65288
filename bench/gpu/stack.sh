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
. "$root/bench/gpu/settings.sh"

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
