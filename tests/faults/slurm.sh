#!/usr/bin/env bash
# Slurm itself, from Debian's packages, with two nodes of one core on this machine: `slurm.sh start FOLDER`, which has
# its configuration and logs, and `slurm.sh stop FOLDER`. As root: munged, slurmctld and both slurmd are started here.
set -euo pipefail
action=$1
folder=$2
host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf

configure() {
  mkdir -p "$folder"/{state,spool-one,spool-two,log}
  cat > "$SLURM_CONF" <<END
ClusterName=here
SlurmctldHost=$host
SlurmUser=root
SlurmctldPort=16817
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=one,two NodeHostname=$host NodeAddr=127.0.0.1 Port=[16821-16822] CPUs=1 RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
END
}

start() {
  configure
  head -c 1024 /dev/urandom > "$folder/munge.key"
  chmod 600 "$folder/munge.key"
  munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munge.pid" \
    --seed-file="$folder/munge.seed" --log-file="$folder/log/munged.log"
  slurmctld -f "$SLURM_CONF"
  for node in one two; do slurmd -f "$SLURM_CONF" -N "$node"; done
  for _ in $(seq 60); do
    [ "$(sinfo --noheader --Node --states=idle | wc -l)" = 2 ] && return
    sleep 0.5
  done
  sinfo --long --Node
  tail -n 20 "$folder"/log/*.log
  return 1
}

stop() {
  for file in "$folder"/slurmd-*.pid "$folder/slurmctld.pid" "$folder/munge.pid"; do
    [ ! -f "$file" ] || kill "$(cat "$file")" || true
  done
}

"$action"
