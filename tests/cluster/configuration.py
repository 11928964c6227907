"""slurm.conf and slurmdbd.conf of a cluster of virtual machines.

Source: slurm.conf(5), slurmdbd.conf(5) of Slurm 22.05.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """What a cluster has.  Times are short, so that tests are."""

    name: str = "virtual"
    nodes: int = 4
    cpus: int = 2
    """Of each node; more than this host has are believed."""
    accounting: bool = False
    """slurmdbd and MariaDB, for `sacct`."""
    mpi: str = "pmi2"
    kill_wait_s: int = 15
    """From SIGTERM to SIGKILL, of what does not end by itself."""
    slurmd_timeout_s: int = 5
    extra: tuple[str, ...] = ()
    """More lines for slurm.conf."""


# cred_expire: a requeued job waits that long; 120 s by default, 5 at least.  config_overrides: more
# CPUs than there are.  MinJobAge: jobs that ended stay visible.  Slurm 22.05.8.
SLURM = """\
ClusterName={name}
SlurmctldHost=ctl({ctl})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
MpiDefault={mpi}
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
ReturnToService=2
RebootProgram=/bin/true
KillWait={kill_wait_s}
MinJobAge=86400
SlurmctldTimeout=30
SlurmdTimeout={slurmd_timeout_s}
MessageTimeout=10
TCPTimeout=2
{accounting}
{extra}
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=service Nodes={first} MaxTime=INFINITE State=UP
PartitionName=compute Nodes={rest} MaxTime=INFINITE State=UP
"""
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={ctl}
AccountingStoragePass={folder}/munge/socket
AccountingStoreFlags=job_comment,job_script"""
SLURMDBD = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=ctl
DbdAddr={ctl}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StorageUser=root
StorageLoc=slurm
"""


def slurm_conf(shape: Shape, folder: Path, ctl: str, nodes: Mapping[str, str]) -> str:
    """Return slurm.conf.

    Args:
        ctl: Address of the controller's machine.
        nodes: Addresses by node name.
    """
    first, *rest = nodes
    lines = (
        f"NodeName={name} NodeAddr={address} CPUs={shape.cpus} RealMemory=4000 State=UNKNOWN"
        for name, address in nodes.items()
    )
    accounting = ACCOUNTING if shape.accounting else "AccountingStorageType=accounting_storage/none"
    return SLURM.format(
        name=shape.name, folder=folder, ctl=ctl, mpi=shape.mpi,
        kill_wait_s=shape.kill_wait_s, slurmd_timeout_s=shape.slurmd_timeout_s,
        accounting=accounting.format(folder=folder, ctl=ctl), extra="\n".join(shape.extra),
        nodes="\n".join(lines), first=first, rest=",".join(rest or [first]),
    )  # fmt: skip


def slurmdbd_conf(folder: Path, ctl: str) -> str:
    return SLURMDBD.format(folder=folder, ctl=ctl)
