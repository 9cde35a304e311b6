"""How kernels are launched and devices entered, with a driver in Python in the place of CUDA's."""

import ctypes
import threading
from types import SimpleNamespace

import pytest

from fastconv.backends.cuda import driver, launch, memory

PRIMARY = {0: 0x100, 1: 0x101}  # the context of each device


class Driver:
    """The functions that `driver` calls, and a record of them."""

    def __init__(self):
        self.stack, self.launched, self.waited, self.fail = [], [], [], 0

    def cuCtxGetCurrent(self, found):
        found.value = self.stack[-1] if self.stack else None
        return 0

    def cuCtxGetDevice(self, found):
        if not self.stack:
            return 201
        found.value = self.stack[-1] - PRIMARY[0]
        return 0

    def cuLaunchKernel(self, function, *rest):
        *sizes, stream, places, extra = rest
        assert extra is None and len(sizes) == 7
        self.launched.append((function, sizes, stream, [ctypes.c_int64.from_address(place).value for place in places]))
        return self.fail

    def cuStreamSynchronize(self, stream):
        self.waited.append(stream)
        return self.fail

    def cuGetErrorName(self, error, name):
        name.value = {2: b"CUDA_ERROR_OUT_OF_MEMORY"}.get(error)
        return 0

    def gpu(self, number):
        """As ``numba.cuda.gpus[number]``."""
        device = SimpleNamespace(id=number)
        return type("Gpu", (), {"__enter__": lambda _: self.stack.append(PRIMARY[number]),
                                "__exit__": lambda *_: self.stack.pop() and None, "device": device})()


class Error(Exception):
    def __init__(self, code, message):
        super().__init__(code, message)
        self.code = code


@pytest.fixture
def stub(monkeypatch):
    """A `Driver` in force, with Numba's own functions on it."""
    found = Driver()

    def current_device():
        if not found.stack:
            found.stack.append(PRIMARY[0])
        return SimpleNamespace(id=found.stack[-1] - PRIMARY[0])

    numbas = SimpleNamespace(gpus=type("Gpus", (), {"__getitem__": lambda _, number: found.gpu(number)})(),
                             get_current_device=current_device, current_context=current_device,
                             cudadrv=SimpleNamespace(driver=SimpleNamespace(CudaAPIError=Error)))
    monkeypatch.setattr(driver, "library", lambda: found)
    monkeypatch.setattr(driver, "cuda", numbas)
    monkeypatch.setattr(driver, "_contexts", {})
    monkeypatch.setattr(driver, "function", lambda kernel, count, number: (kernel, count, number))
    return found


def test_a_launch_hands_over_its_numbers(stub):
    stub.stack.append(PRIMARY[1])
    numbers = (0, -1, 2**63 - 1, -2**63, 2**40)
    driver.launch("kernel", 2**31 - 1, 128, 7, numbers)
    assert stub.launched == [(("kernel", 5, 1), [2**31 - 1, 1, 1, 128, 1, 1, 0], 7, list(numbers))]


def test_a_launch_is_on_the_stream_in_force(stub):
    token = launch.set_stream(9)
    try:
        launch.launch("kernel", 3, 64, 5)
        launch.launch_over("kernel", 100, 64, 6)
    finally:
        launch.reset_stream(token)
    launch.launch("kernel", 3, 64, 5)
    assert [(sizes[0], stream, numbers) for _, sizes, stream, numbers in stub.launched] == [
        (3, 9, [5, 0]), (2, 9, [6]), (3, 0, [5, 0])]


def test_errors_are_numbas(stub):
    stub.fail = 2
    with pytest.raises(Error, match="Call to cuLaunchKernel results in CUDA_ERROR_OUT_OF_MEMORY") as caught:
        driver.launch("kernel", 1, 1, 0, (1,))
    assert caught.value.code == 2
    stub.fail = 700
    with pytest.raises(Error, match="Call to cuStreamSynchronize results in") as caught:
        driver.synchronize(3)
    assert caught.value.code == 700


def test_a_thread_without_a_context_gets_that_of_device_0(stub):
    with driver.on(0):
        assert driver.device() == 0
    assert stub.stack == [PRIMARY[0]]
    stub.stack.clear()
    assert driver.device() == 0
    assert stub.stack == [PRIMARY[0]]


def test_a_device_is_entered_where_another_is_in_force(stub):
    stub.stack.append(PRIMARY[0])
    for _ in range(2):
        with driver.on(1):
            assert driver.device() == 1
            with driver.on(1):
                assert stub.stack == [PRIMARY[0], PRIMARY[1]]
            with driver.on(0):
                assert driver.device() == 0
            assert driver.device() == 1
        assert stub.stack == [PRIMARY[0]]


def test_the_device_in_force_is_not_entered_again(stub, monkeypatch):
    stub.stack.append(PRIMARY[1])
    with driver.on(1):  # which context is its primary one is not yet known
        assert stub.stack == [PRIMARY[1]] * 2
    monkeypatch.setattr(driver.cuda, "gpus", None)
    with driver.on(1):
        assert stub.stack == [PRIMARY[1]]


def test_a_context_of_another_library_s_is_left_for_numbas(stub):
    stub.stack.append(0x999)
    for _ in range(2):
        with driver.on(1):
            assert stub.stack == [0x999, PRIMARY[1]]
        assert stub.stack == [0x999]


@pytest.mark.parametrize("value, expected", [
    (ctypes.c_void_p(0x70), 0x70), (ctypes.c_void_p(0), 0), (ctypes.c_uint64(2**40), 2**40), (5, 5),
    (type("CUdeviceptr", (), {"__int__": lambda self: 2**41})(), 2**41)])
def test_handles_of_both_of_numbas_bindings(value, expected):
    assert driver.handle(value) == expected


@pytest.mark.parametrize("stream, shared", [(0, True), (1, True), (9, True), (driver.THREAD_STREAM, False)])
def test_threads_share_a_workspace_only_on_a_stream_they_share(monkeypatch, stream, shared):
    class Workspace:
        def __init__(self, size):
            self.size, self.address = size, id(self)

    monkeypatch.setattr(memory, "_Workspace", Workspace)
    monkeypatch.setattr(memory, "_workspaces", {})
    found = []

    def ask():
        token = launch.set_stream(stream)
        found.append(memory.workspace(10, "f4", "test", 0))
        launch.reset_stream(token)

    ask()
    ask()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found[0] == found[1]
    assert (found[2] == found[0]) is shared
