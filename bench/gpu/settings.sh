# Settings of a whole chain with random weights of the real architectures, for stack.sh and fleet.sh, which source it.
# They set root, WORK, RUNS_DIR; EXPERTS_URL: where experts and judge are, the orchestrator's own server by default.
for member in services/contracts services/vllm services/retrieval services/sandbox services/local eval analysis; do
  PYTHONPATH=$root/$member:${PYTHONPATH:-}
done
export PYTHONPATH

[ -e "$WORK/orchestrator/config.json" ] || python3 "$root/bench/gpu/shapes.py" "$WORK/orchestrator" --shape "${SHAPE:-8b}"
[ -e "$WORK/embedder.done" ] || CUDA_VISIBLE_DEVICES=${RETRIEVAL_GPU:-1} python3 "$root/bench/gpu/embedder.py" "$WORK" \
  --tokenizer "$WORK/orchestrator" --documents "${DOCUMENTS:-300000}" ${EMBEDDER_FLAGS:-} && touch "$WORK/embedder.done"
python3 "$root/bench/gpu/questions.py" "$WORK/questions.jsonl" --n 2048

vllm=vllm/orchestrator@${EXPERTS_URL:-${ORCHESTRATOR_URL:-http://127.0.0.1:1406/v1}}
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
