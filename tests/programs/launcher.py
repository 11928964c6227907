"""torchrun as others start it: from a program of theirs, under a name of theirs."""

from torch.distributed.run import main

if __name__ == "__main__":
    main()
