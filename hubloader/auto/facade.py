"""What every Auto class of models does: it is never made, it loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.loading import load_model, new_model

if TYPE_CHECKING:
    import os

    from hubloader.auto.config import PretrainedConfig
    from hubloader.auto.select import Backend

__all__ = ["AutoFacade"]


class AutoFacade:
    """A facade: it is never instantiated, it loads."""

    backend: ClassVar[Backend]
    task: ClassVar[str]

    def __init__(self) -> None:
        name = type(self).__name__
        raise TypeError(f"{name} is made by {name}.from_pretrained(name) or .from_config(config)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **keywords: Any
    ) -> Any:
        """Load a model, in eval mode.

        Args:
            pretrained_model_name_or_path: ``org/name``, a one-part name, ``org/name@revision``, or
                a local folder.
            keywords: where from (``revision``, ``subfolder``, ``cache_dir``, ``token``,
                ``local_files_only``, ``force_download``, ``variant``, ``use_safetensors`` …: see
                ``hubloader.auto.source.HubArguments``), how (``dtype``, ``device``,
                ``device_map``, ``attn_implementation``, ``ignore_mismatched_sizes``,
                ``output_loading_info``, ``from_tf``, ``from_flax`` …: see
                ``hubloader.auto.model_arguments.ModelArguments``), and keys of the config to change
                (``num_labels=5``).

        Returns:
            The model, or (model, loading info) with ``output_loading_info=True``.

        Raises:
            NotFound: the repository, revision or weights are not there.
            CorruptFile: config.json or the weights are malformed.
            UnknownArchitecture: nobody here implements the model.
            WeightsMismatch: the weights do not fit the config; its report lists every one.
            BackendUnavailable: the framework is not installed.
            TypeError: a keyword that nothing knows.

        """
        return load_model(pretrained_model_name_or_path, cls.task, cls.backend, keywords)

    @classmethod
    def from_config(cls, config: PretrainedConfig, **keywords: Any) -> Any:
        """Make a model with random weights."""
        return new_model(config, cls.task, cls.backend, keywords)
