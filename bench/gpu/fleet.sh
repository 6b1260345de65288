#!/usr/bin/env bash
# Four GPUs of one host, packages unpacked as all.sh does (WORK/kit.env): docs/serving.md's orders, then docs/gpu.md's fleet.
#
#   bench/gpu/fleet.sh prepare     shapes of the models, embedder and index, on GPU 3
#   bench/gpu/fleet.sh orders [RUNS…]  regimes A to D in four orders, a lane on each GPU, in the background
#   bench/gpu/fleet.sh replicas    once those are done: four replicas, halves (NO_HALVES=1: none), `stack` on the same servers
#   bench/gpu/fleet.sh stack       podium-eval: replicas 0 and 1, experts and judge on 2, retrieval on GPU 3 in the place
#                                  of replica 3, TASKS (1024) in flight, kill -9 of replica 1 and its return
#
# ROUTER: command of a router with {port} and {backend}; without it its rows are left out. Rows land in RESULTS.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
export WORK=${WORK:-/tmp/podium-gpu} RESULTS=${RESULTS:-/tmp/podium-gpu/results} PYTHONUNBUFFERED=1
export RUNS_DIR=${RUNS_DIR:-/tmp/podium-gpu/runs}
mkdir -p "$RESULTS" "$RUNS_DIR"
[ -e "$WORK/kit.env" ] && set -a && . "$WORK/kit.env" && set +a
model=$WORK/orchestrator tasks=${TASKS:-1024}

detached() {  # NAME COMMAND…: in a session of its own, so that it outlives the call that started it
  local name=$1; shift
  VLLM_CACHE_ROOT=/tmp/vllm-cache-$name setsid nohup "$@" > "$RESULTS/$name.out" 2>&1 < /dev/null &
}

lane() {  # GPU RUNS
  detached "orders$1" python3 "$root/bench/gpu/orders.py" --gpu "$1" --port "26${1}0" --model "$model" \
    --out "$RESULTS/orders$1.jsonl" --first "${1}000000" --runs "$2" --router "${ROUTER:-}"
}

kill_group() {  # PORT: SIGKILL to a server and all its processes
  date +"%T SIGKILL to the server at $1"
  kill -9 -- "-$(pgrep -o -f -- "--port $1")"
}

stack() {
  export EXPERTS_URL=http://127.0.0.1:2720/v1 ORCHESTRATOR_URL=http://127.0.0.1:2700/v1,http://127.0.0.1:2710/v1
  . "$root/bench/gpu/settings.sh"
  kill_group 2730; sleep 3
  export CUDA_VISIBLE_DEVICES=3 LOCAL_REUSE=vllm RETRIEVAL_GPU= ORCHESTRATOR_GPU=
  {
    until [ "$(grep -c '"type":"task_complete"' "$RUNS_DIR/fleet/events.jsonl" 2> /dev/null)" -ge $((tasks / 4)) ] 2> /dev/null
    do sleep 0.5; done
    kill_group 2710; sleep 5
    CUDA_VISIBLE_DEVICES=1 SERVE_PORT=2710 detached again python3 -m podium_vllm serve; date +"%T started again"
  } > "$RESULTS/fleet-kill.out" 2>&1 & killer=$!
  nvidia-smi --query-gpu=timestamp,index,utilization.gpu,memory.used,power.draw --format=csv,nounits -l 2 > "$RESULTS/smi.csv" & smi=$!
  python3 -m podium_local run --root "$root" --run-id fleet --concurrency "$tasks" --limit "$tasks" \
    --max-rounds "${MAX_ROUNDS:-6}" --no-check > "$RESULTS/fleet.out" 2>&1
  echo "fleet: ended with status $?"
  kill $killer $smi 2> /dev/null
}

case ${1:-} in
  prepare)
    [ -e "$model/config.json" ] || python3 "$root/bench/gpu/shapes.py" "$model"
    detached embedder bash -c "CUDA_VISIBLE_DEVICES=3 python3 '$root/bench/gpu/embedder.py' '$WORK' --tokenizer '$model' && touch '$WORK/embedder.done'" ;;
  orders)
    shift
    [ $# -gt 0 ] || set -- D:server,D:adaptive,A:adaptive,A:server D:program,A:program,D:depth_first,A:depth_first \
      B:server,B:adaptive,B:program,B:depth_first C:server,C:adaptive,C:program,C:depth_first
    gpu=0; for runs in "$@"; do lane "$gpu" "$runs"; gpu=$((gpu + 1)); done ;;
  replicas)
    detached replicas python3 "$root/bench/gpu/orders.py" --gpu 0,1,2,3 --port 2700 \
      --model "$model" --out "$RESULTS/replicas.jsonl" --replicas ${NO_HALVES:+--no-halves} --then "$root/bench/gpu/fleet.sh stack" ;;
  stack) stack ;;
  *) sed -n '2,12p' "$0"; exit 2 ;;
esac
