"""Clients that work on elements of maps: libbpf's batch functions, and what is left to them when the host has died."""
import os
import signal
import subprocess

from skep_e2e import Case, await_state, main, read_line, tool


class MapClient(Case):
    def test_batch(self):
        self.home.run([tool("map_client"), "batch"]).expect(self, 0, "", "")

    def ask(self, client):
        client.stdin.write(b"\n")
        return read_line(client.stdout).strip()

    def start_client(self, command):
        client = self.home.start([tool("map_client"), command], "m", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(read_line(client.stdout), "ready\n")
        return client

    def kill_host(self):
        (host,) = self.home.host_pids()
        os.kill(host, signal.SIGKILL)
        await_state("the host to go", lambda: not self.home.host_pids())

    def test_host_dies(self):
        # What a client knows needs no host: shared memory is there as long as somebody maps it.
        outlive, last = self.start_client("outlive"), self.start_client("last")
        alive = "update ok lookup ok next ok delete ok"
        self.assertEqual(self.ask(outlive), alive)
        self.assertEqual(self.ask(last), "create ok " + alive)
        self.kill_host()
        self.assertEqual(self.ask(outlive), alive)
        # Whoever has noticed is told so from then on.
        dead = "create EIO update EIO lookup EIO next EIO delete EIO"
        self.assertEqual(self.ask(last), dead)
        self.assertEqual(self.ask(last), dead)
        self.assertEqual(self.ask(outlive), alive)
        for client in (outlive, last):
            client.stdin.close()
            client.wait(timeout=20)


if __name__ == "__main__":
    main()
