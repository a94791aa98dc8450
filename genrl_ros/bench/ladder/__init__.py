"""Where imagination breaks: rungs from the model's predictions to policies in reality.

Run `python -m genrl_ros.bench.ladder DOMAIN --run FOLDER` on a world model that `genrl pretrain`
has trained. It uses true rewards, which the product never does; docs/imagination.md tells what it
found.
"""
