"""Entry point: instantiates DestinationDust and runs it on the command line's arguments."""

from destination_dust.run import run

if __name__ == "__main__":
    run()
