"""Signals as Ctrl-C."""

import signal

import pytest

from dipddpm_utils.machine.interrupt import as_ctrl_c


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_interrupt_with_its_exit_code_and_only_within(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, as_ctrl_c():
        signal.raise_signal(number)  # to this very thread, so that it is heard at once
    assert caught.value.args == (128 + number,) and signal.getsignal(number) == before
