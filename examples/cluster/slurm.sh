#!/bin/bash
# Curate on a Slurm cluster: a Ray head on the first node, a Ray worker on each other node, the driver beside the head.
#
#     sbatch --nodes 4 --cpus-per-task 64 examples/cluster/slurm.sh /shared/tgif.tsv /shared/shards [option ...]
#
# Every node needs the same installation of pix2gif, for example an environment on the shared filesystem that is active when
# sbatch is called. LISTING, the GIFs and OUT must be on that filesystem. After a time limit, submit the same line again to
# continue the run. Export RAY_AUTH_MODE, token or disabled, before sbatch; see docs/cluster.md.
#SBATCH --job-name pix2gif-curate
#SBATCH --ntasks-per-node 1
#SBATCH --exclusive
#SBATCH --time 04:00:00
#SBATCH --signal=TERM@120
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: sbatch --nodes N $0 LISTING OUT [option of pix2gif-curate ...]" >&2
    exit 2
fi
listing=$1 out=$2
shift 2

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
ip=$(srun --nodes 1 --ntasks 1 --nodelist "$head" hostname --ip-address | awk '{print $1}')
port=6379
cores=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}
# By default Ray retries a task that ran out of memory without limit, and waits forever for a worker killed at its start.
export RAY_task_oom_retries=10 RAY_prestart_worker_first_driver=0 RAY_USAGE_STATS_ENABLED=0

srun --nodes 1 --ntasks 1 --overlap --nodelist "$head" \
    ray start --head --node-ip-address "$ip" --port "$port" --num-cpus "$cores" --include-dashboard false --block &
for _ in {1..60}; do
    ray status --address "$ip:$port" > /dev/null 2>&1 && break
    sleep 1
done
if [ "${#nodes[@]}" -gt 1 ]; then
    others=$(IFS=,; echo "${nodes[*]:1}")
    srun --nodes $((${#nodes[@]} - 1)) --ntasks-per-node 1 --overlap --nodelist "$others" \
        ray start --address "$ip:$port" --num-cpus "$cores" --block &
    sleep 15 # Nodes that join later also get work.
fi

exec srun --nodes 1 --ntasks 1 --overlap --nodelist "$head" \
    pix2gif-curate "$listing" --out "$out" --ray-address "$ip:$port" "$@"
