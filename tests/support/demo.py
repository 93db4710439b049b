import os
import platform

primes = [n for n in range(2, 60) if all(n % d for d in range(2, int(n**0.5) + 1))]

print("Hello from a micro-VM of its own.")
print(f"  kernel    {platform.system()} {platform.release()}")
print(f"  python    {platform.python_version()} as uid {os.getuid()}, pid {os.getpid()}")
print(f"  hostname  {platform.node()}")
print(f"  primes    {primes}")
