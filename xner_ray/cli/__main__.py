"""`python -m xner_ray.cli` is the same as `xner`."""

from xner_ray.cli.main import main

if __name__ == "__main__":
    main()
