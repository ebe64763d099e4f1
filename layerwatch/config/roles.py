"""The names that a generation's parts go by: fixed ones here, and those that a rule gives under `with`."""

# The file that the rule matched.
INPUT = "input"
# What is read beside it.
PROMPT = "prompt"
PARAMETERS = "parameters"
SIDECARS = {PROMPT: "prompt_from", PARAMETERS: "parameters_from"}
