"""Labs: chapters with tasks cut out of them, and the grader. README.md is the guide for those who teach with them."""
