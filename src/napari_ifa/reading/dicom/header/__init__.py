"""What one DICOM file says: its header, and where its pixels lie."""
